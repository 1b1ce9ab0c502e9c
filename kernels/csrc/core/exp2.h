// 2^x for vectors. Per-ISA sources only: see simd.h.
#ifndef IKELOS_CORE_EXP2_H_
#define IKELOS_CORE_EXP2_H_

#ifdef __AVX512DQ__
#include <immintrin.h>
#endif

#include "core/simd.h"

namespace ikelos {
namespace IKELOS_ISA {

// 2^f for f in [0, 1]: exactly 1 at 0, elsewhere with a relative error below 8.3e-8 before rounding
// (minimax, by Remez's algorithm). One more degree would cost a tenth of the softmax and save less
// than rounding adds.
inline Floats Exp2Fraction(Floats f) {
  Floats p = f * 1.8671300495043397e-3f + 9.017030708491802e-3f;
  p = p * f + 5.579991266131401e-2f;
  p = p * f + 2.4016444385051727e-1f;
  p = p * f + 6.931512951850891e-1f;
  return p * f + 1.0f;
}

// 2^x for x <= 127, within 3.5 units in the last place (tests/test_exp2.cc); exactly 1 at 0, and 0
// below -126 and at -infinity. NaN stays NaN.
inline Floats Exp2(Floats x) {
#ifdef __AVX512DQ__
  // Subtracts the integer below x (0 for infinities); the result is scaled by that power of 2.
  const Floats fraction = (Floats)_mm512_maskz_reduce_ps(0xffff, (__m512)x, 0x01);
  const __mmask16 normal = _mm512_cmp_ps_mask((__m512)x, _mm512_set1_ps(-126.0f), _CMP_NLT_UQ);
  return (Floats)_mm512_maskz_scalef_ps(normal, (__m512)Exp2Fraction(fraction), (__m512)x);
#else
  // Adding 1.5 * 2^23 rounds to an integer, which is then in the low bits.
  const float magic = 12582912.0f;
  const Floats shifted = (x - 0.5f) + magic;
  const Floats fraction = x - (shifted - magic);
  const Words exponent = (BitCast<Words>(shifted) - BitCast<uint32_t>(magic)) << 23;
  const Floats scaled = BitCast<Floats>(BitCast<Words>(Exp2Fraction(fraction)) + exponent);
  const Floats flushed = x < -126.0f ? Floats{} : scaled;
  return x == x ? flushed : x;
#endif
}

}  // namespace IKELOS_ISA
}  // namespace ikelos

#endif  // IKELOS_CORE_EXP2_H_
