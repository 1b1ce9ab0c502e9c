// core/exp2.h is for per-ISA sources only: this is how a test reaches it.
#ifndef IKELOS_TESTS_EXP2_VALUES_H_
#define IKELOS_TESTS_EXP2_VALUES_H_

#include <cstdint>

namespace ikelos {

// y[i] = Exp2(x[i]); `count` is a multiple of 16.
#define IKELOS_DECLARE_EXP2_VALUES(isa)                     \
  namespace isa {                                           \
  void Exp2Values(const float* x, float* y, int64_t count); \
  }
IKELOS_DECLARE_EXP2_VALUES(portable)
IKELOS_DECLARE_EXP2_VALUES(avx2)
IKELOS_DECLARE_EXP2_VALUES(avx512)
#undef IKELOS_DECLARE_EXP2_VALUES

}  // namespace ikelos

#endif  // IKELOS_TESTS_EXP2_VALUES_H_
