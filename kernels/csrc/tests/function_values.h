// Makes core/exp2.h and core/activations.h, which are for per-ISA sources only, available to tests.
#ifndef IKELOS_TESTS_FUNCTION_VALUES_H_
#define IKELOS_TESTS_FUNCTION_VALUES_H_

#include <cstdint>

namespace ikelos {

// y[i] = Exp2(x[i]), and so on; `count` is a multiple of 16.
#define IKELOS_DECLARE_FUNCTION_VALUES(isa)                    \
  namespace isa {                                              \
  void Exp2Values(const float* x, float* y, int64_t count);    \
  void SigmoidValues(const float* x, float* y, int64_t count); \
  void TanhValues(const float* x, float* y, int64_t count);    \
  }
IKELOS_DECLARE_FUNCTION_VALUES(portable)
IKELOS_DECLARE_FUNCTION_VALUES(avx2)
IKELOS_DECLARE_FUNCTION_VALUES(avx512)
#undef IKELOS_DECLARE_FUNCTION_VALUES

}  // namespace ikelos

#endif  // IKELOS_TESTS_FUNCTION_VALUES_H_
