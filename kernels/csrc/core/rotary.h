// Rotary positions (Su et al. 2021, section 3.4.2): pairs of features, rotated by angles in
// proportion to the position.
//
//   angle = position * frequencies[i]
//   y[i]       = magnitude * (x[i] * cos(angle) - x[i + H/2] * sin(angle))
//   y[i + H/2] = magnitude * (x[i + H/2] * cos(angle) + x[i] * sin(angle))
//
// for 0 <= i < H/2 in each head. The arithmetic is in float32, rounded once at the end; sine and
// cosine are those of the angle as rounded to float32. The results don't depend on parallel_for.
#ifndef IKELOS_CORE_ROTARY_H_
#define IKELOS_CORE_ROTARY_H_

#include <cstdint>

#include "core/half.h"
#include "core/isa.h"
#include "core/parallel.h"

namespace ikelos {

// Dense [B, T, heads, H]; the output may be the input.
struct RotaryArray {
  const void* input;
  void* output;
  int64_t heads;
};

struct RotaryProblem {
  int64_t batch;          // B
  int64_t steps;          // T
  int64_t pairs;          // H / 2
  RotaryArray arrays[2];  // query and key, say, or one array and one without heads
  Storage storage;
  const int32_t* positions;  // [T], or [B, T] if has_rows
  bool has_rows;
  const float* frequencies;  // [H / 2]
  float magnitude;
  bool is_transposed;  // rotates the other way, as the gradient does
};

void Rotary(const RotaryProblem& problem, Isa isa, const ParallelFor& parallel_for);

}  // namespace ikelos

#endif  // IKELOS_CORE_ROTARY_H_
