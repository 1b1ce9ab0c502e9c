// Checks and layouts that attention with and without a cache share.
#ifndef IKELOS_TENSORFLOW_ATTENTION_SIZES_H_
#define IKELOS_TENSORFLOW_ATTENTION_SIZES_H_

#include <cstdint>

#include "absl/status/status.h"
#include "core/attention.h"
#include "tensorflow/arguments.h"

namespace ikelos {

// The first rows of both tables: query [B, T, N, H], key [B, ?, K, H], value [B, ?, K, E].
inline constexpr int kQueryRow = 0, kKeyRow = 1, kValueRow = 2;

// Checks the head sizes H and E.
absl::Status CheckLastAxes(const Arguments& arguments);

// Checks the numbers of heads, and that the core's products of sizes fit 64 bits.
absl::Status CheckAttentionSizes(const Arguments& arguments);

// The strides of a dense array [B, positions, heads, size].
RowStrides DenseRows(int64_t positions, int64_t heads, int64_t size);

}  // namespace ikelos

#endif  // IKELOS_TENSORFLOW_ATTENTION_SIZES_H_
