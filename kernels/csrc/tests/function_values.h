// Makes core/exp2.h, core/activations.h, core/sine_cosine.h and the conversions of core/simd.h,
// which are for per-ISA sources only, available to tests.
#ifndef IKELOS_TESTS_FUNCTION_VALUES_H_
#define IKELOS_TESTS_FUNCTION_VALUES_H_

#include <cstdint>

#include "core/half.h"

namespace ikelos {

// y[i] = Exp2(x[i]), and so on; `count` is a multiple of 16.
#define IKELOS_DECLARE_FUNCTION_VALUES(isa)                             \
  namespace isa {                                                       \
  void CosineValues(const float* x, float* y, int64_t count);           \
  void Exp2Values(const float* x, float* y, int64_t count);             \
  void SigmoidValues(const float* x, float* y, int64_t count);          \
  void SineValues(const float* x, float* y, int64_t count);             \
  void TanhValues(const float* x, float* y, int64_t count);             \
  void LoadBFloat16Values(const BFloat16* x, float* y, int64_t count);  \
  void StoreBFloat16Values(const float* x, BFloat16* y, int64_t count); \
  void LoadOneValues(const BFloat16* x, float* y, int64_t count);       \
  void StoreOneValues(const float* x, BFloat16* y, int64_t count);      \
  void LoadFloat16Values(const Float16* x, float* y, int64_t count);    \
  void StoreFloat16Values(const float* x, Float16* y, int64_t count);   \
  }
IKELOS_DECLARE_FUNCTION_VALUES(portable)
IKELOS_DECLARE_FUNCTION_VALUES(avx2)
IKELOS_DECLARE_FUNCTION_VALUES(avx512)
#undef IKELOS_DECLARE_FUNCTION_VALUES

}  // namespace ikelos

#endif  // IKELOS_TESTS_FUNCTION_VALUES_H_
