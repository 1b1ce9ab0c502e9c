// Compiled once per instruction set.
#include "tests/function_values.h"

#include "core/activations.h"
#include "core/exp2.h"
#include "core/sine_cosine.h"

namespace ikelos {
namespace IKELOS_ISA {

template <typename F, typename From, typename To>
inline void Values(const F& f, const From* x, To* y, int64_t count) {
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

inline Floats Same(Floats v) { return v; }

void LoadBFloat16Values(const BFloat16* x, float* y, int64_t count) { Values(Same, x, y, count); }

void StoreBFloat16Values(const float* x, BFloat16* y, int64_t count) { Values(Same, x, y, count); }

void LoadOneValues(const BFloat16* x, float* y, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    y[i] = LoadOne(x + i);
  }
}

void StoreOneValues(const float* x, BFloat16* y, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    StoreOne(x[i], y + i);
  }
}

void LoadFloat16Values(const Float16* x, float* y, int64_t count) { Values(Same, x, y, count); }

void StoreFloat16Values(const float* x, Float16* y, int64_t count) { Values(Same, x, y, count); }

template <typename F>
inline void ValuesOfAngles(const F& f, const float* x, float* y, int64_t count) {
  for (int64_t i = 0; i < count; i += kDoubles) {
    FewFloats angles;
    std::memcpy(&angles, x + i, sizeof(angles));
    const FewFloats values = __builtin_convertvector(f(SineCosineOf(angles)), FewFloats);
    std::memcpy(y + i, &values, sizeof(values));
  }
}

void SineValues(const float* x, float* y, int64_t count) {
  ValuesOfAngles([](const SineCosine& v) { return v.sine; }, x, y, count);
}

void CosineValues(const float* x, float* y, int64_t count) {
  ValuesOfAngles([](const SineCosine& v) { return v.cosine; }, x, y, count);
}

}  // namespace IKELOS_ISA
}  // namespace ikelos
