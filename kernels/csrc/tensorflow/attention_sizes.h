// Checks and layouts that attention with and without a cache share.
#ifndef IKELOS_TENSORFLOW_ATTENTION_SIZES_H_
#define IKELOS_TENSORFLOW_ATTENTION_SIZES_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "core/attention.h"
#include "tensorflow/arguments.h"

namespace ikelos {

// The first rows of both tables: query [B, T, N, H], key [B, ?, K, H], value [B, ?, K, E].
inline constexpr int kQueryRow = 0, kKeyRow = 1, kValueRow = 2;

absl::Status CheckScaleAndWindow(float scale, int64_t window_left);

// ReadInputs, which also checks the sizes and numbers of heads, and that the core's products of
// sizes fit 64 bits.
absl::Status ReadAttentionInputs(absl::Span<const Input> table, const std::vector<int>& rows,
                                 Storage storage, const std::vector<InputArray>& inputs,
                                 Arguments* arguments);

// The strides of a dense array [B, positions, heads, size].
RowStrides DenseRows(int64_t positions, int64_t heads, int64_t size);

}  // namespace ikelos

#endif  // IKELOS_TENSORFLOW_ATTENTION_SIZES_H_
