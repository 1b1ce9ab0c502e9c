// Softmax of a row in parts, by its largest logit and its sum of weights so far. Per-ISA sources
// only: see simd.h.
#ifndef IKELOS_CORE_SOFTMAX_H_
#define IKELOS_CORE_SOFTMAX_H_

#include "core/attention_scores.h"
#include "core/exp2.h"

// Not by <cmath>, whose inline functions the linker would share between instruction sets.
extern "C" float logf(float);

namespace ikelos {
namespace IKELOS_ISA {

// Of `least` and `columns` (a multiple of kLanes) logits.
inline float Largest(const float* logits, int64_t columns, float least) {
  Floats most = Broadcast(least);
  for (int64_t j = 0; j < columns; j += kLanes) {
    most = Max(most, Load(logits + j));
  }
  return Max(most);
}

// Turns logits into weights beside `largest`; returns their sum.
inline float ToWeights(float* logits, int64_t columns, float largest) {
  const Floats most = Broadcast(largest);
  Floats total = {};
  for (int64_t j = 0; j < columns; j += kLanes) {
    const Floats weights = Exp2(Load(logits + j) - most);
    total += weights;
    Store(weights, logits + j);
  }
  return Sum(total);
}

// The logarithm of the sum of a row's exponentials; without any allowed key its total is 0.
inline float Residual(float largest, float total) {
  return total == 0 ? -kInfinity : largest * kLn2 + logf(total);
}

}  // namespace IKELOS_ISA
}  // namespace ikelos

#endif  // IKELOS_CORE_SOFTMAX_H_
