// The softmax of a row in parts, with a running maximum of the logits and sum of the weights.
// Per-ISA sources only: see simd.h.
#ifndef IKELOS_CORE_SOFTMAX_H_
#define IKELOS_CORE_SOFTMAX_H_

#include "core/attention_scores.h"
#include "core/exp2.h"

// Not from <cmath>, whose inline functions the linker would share between instruction sets.
extern "C" float logf(float);

namespace ikelos {
namespace IKELOS_ISA {

// The maximum of `least` and `columns` logits, a multiple of kLanes.
inline float RowMax(const float* logits, int64_t columns, float least) {
  Floats most = Broadcast(least);
  for (int64_t j = 0; j < columns; j += kLanes) {
    most = Max(most, Load(logits + j));
  }
  return Max(most);
}

// Turns logits into weights relative to `row_max`; returns their sum.
inline float ToWeights(float* logits, int64_t columns, float row_max) {
  const Floats most = Broadcast(row_max);
  Floats row_sum = {};
  for (int64_t j = 0; j < columns; j += kLanes) {
    const Floats weights = Exp2(Load(logits + j) - most);
    row_sum += weights;
    Store(weights, logits + j);
  }
  return Sum(row_sum);
}

// The logarithm of the sum of a row's exponentials; the sum is 0 if the row sees no key.
inline float Residual(float row_max, float row_sum) {
  return row_sum == 0 ? -kInfinity : row_max * kLn2 + logf(row_sum);
}

}  // namespace IKELOS_ISA
}  // namespace ikelos

#endif  // IKELOS_CORE_SOFTMAX_H_
