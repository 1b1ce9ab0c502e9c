// Decides which attention weights dropout keeps, by a hash of the seed and the weight's indices. So
// the gradient and any other implementation make the same decision without storing anything. All
// arithmetic is modulo 2^32.
//
//   head       = Mix(seed[0] + 0x9e3779b9 * (b * N + n + 1))
//   row.first  = Mix(head ^ (0x85ebca6b * (t + 1)))
//   row.second = Mix(row.first ^ seed[1])
//   x          = row.first + s;         x ^= x >> 16;  x *= 0x7feb352d
//   x         ^= row.second;            x ^= x >> 15;  x *= 0x846ca68b;  x ^= x >> 16
//   kept      <=> (x >> 8) >= round(rate * 2^24)
//
// Mix is the finaliser "lowbias32" by C. Wellons (https://nullprogram.com/blog/2018/07/31/), found
// by a search for low bias; the last lines are its rounds with the row's second word mixed in
// between.
#ifndef IKELOS_CORE_DROPOUT_H_
#define IKELOS_CORE_DROPOUT_H_

#include <cstdint>

namespace ikelos {

struct DropoutRow {
  uint32_t first, second;
};

// The function is static, because each per-ISA source must have a separate copy (see simd.h).
static inline uint32_t Mix(uint32_t x) {
  x ^= x >> 16;
  x *= 0x7feb352dU;
  x ^= x >> 15;
  x *= 0x846ca68bU;
  return x ^ (x >> 16);
}

static inline DropoutRow DropoutRowOf(const uint32_t seed[2], int64_t batch_times_heads_plus_head,
                                      int64_t query) {
  const uint32_t head =
      Mix(seed[0] + 0x9e3779b9U * static_cast<uint32_t>(batch_times_heads_plus_head + 1));
  const uint32_t first = Mix(head ^ (0x85ebca6bU * static_cast<uint32_t>(query + 1)));
  return {first, Mix(first ^ seed[1])};
}

static inline uint32_t DropoutThreshold(float rate) {
  return static_cast<uint32_t>(static_cast<double>(rate) * 16777216.0 + 0.5);
}

}  // namespace ikelos

#endif  // IKELOS_CORE_DROPOUT_H_
