// Compiled once per instruction set.
#include "tests/function_values.h"

#include "core/activations.h"
#include "core/exp2.h"

namespace ikelos {
namespace IKELOS_ISA {

template <typename F>
inline void Values(const F& f, const float* x, float* y, int64_t count) {
  for (int64_t i = 0; i < count; i += kLanes) {
    Store(f(Load(x + i)), y + i);
  }
}

void Exp2Values(const float* x, float* y, int64_t count) {
  Values([](Floats v) { return Exp2(v); }, x, y, count);
}

void SigmoidValues(const float* x, float* y, int64_t count) {
  Values([](Floats v) { return Sigmoid(v); }, x, y, count);
}

void TanhValues(const float* x, float* y, int64_t count) {
  Values([](Floats v) { return Tanh(v); }, x, y, count);
}

}  // namespace IKELOS_ISA
}  // namespace ikelos
