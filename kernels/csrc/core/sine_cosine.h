// Sine and cosine for vectors. Per-ISA sources only: see simd.h.
#ifndef IKELOS_CORE_SINE_COSINE_H_
#define IKELOS_CORE_SINE_COSINE_H_

#include "core/simd.h"

namespace ikelos {
namespace IKELOS_ISA {

constexpr int kDoubles = kLanes / 2;
typedef double Doubles __attribute__((vector_size(kDoubles * 8)));
typedef int64_t Longs __attribute__((vector_size(kDoubles * 8)));
typedef float FewFloats __attribute__((vector_size(kDoubles * 4)));

struct SineCosine {
  Doubles sine, cosine;
};

// Up to this angle the number of quarter turns has at most 31 bits.
constexpr double kMostRadians = 3373259426.0;

// Sine and cosine of |x| <= kMostRadians, x a float32, with a relative error below 2e-10.
inline SineCosine SineCosineOf(Doubles x) {
  // Adding 1.5 * 2^52 rounds to an integer, which is then in the low bits.
  const double magic = 6755399441055744.0;
  const Doubles shifted = x * 0.6366197723675814 + magic;
  const Doubles turns = shifted - magic;
  const Longs quarter = BitCast<Longs>(shifted);
  // Subtracts the quarter turns in three parts (Cody and Waite 1980). The first two have 22 bits,
  // so their products with 31 bits are exact without fused multiply-add too, and so are the
  // differences: the last rounding is the only one.
  const Doubles rest = x - turns * 0x1.921fbp+0 - turns * 0x1.5110bp-22;
  const Doubles r = rest - turns * 0x1.18469898cc517p-44;
  // Taylor's series. The first term left out is below 9e-12 of the sine and 2e-10 of the cosine.
  const Doubles s = r * r;
  Doubles p = s * (-1.0 / 39916800) + 1.0 / 362880;
  p = p * s + -1.0 / 5040;
  p = p * s + 1.0 / 120;
  p = p * s + -1.0 / 6;
  const Doubles sine = (p * s) * r + r;
  p = s * (-1.0 / 3628800) + 1.0 / 40320;
  p = p * s + -1.0 / 720;
  p = p * s + 1.0 / 24;
  p = p * s + -0.5;
  const Doubles cosine = p * s + 1.0;
  const Longs is_odd = -(quarter & 1);
  const Longs sine_bits = BitCast<Longs>(sine), cosine_bits = BitCast<Longs>(cosine);
  return {BitCast<Doubles>(((is_odd & cosine_bits) | (~is_odd & sine_bits)) ^ (quarter & 2) << 62),
          BitCast<Doubles>(((is_odd & sine_bits) | (~is_odd & cosine_bits)) ^ ((quarter + 1) & 2)
                                                                                  << 62)};
}

// Sine and cosine of any angles; NaN for infinities and NaN.
inline SineCosine SineCosineOf(FewFloats angles) {
  const Doubles x = __builtin_convertvector(angles, Doubles);
  SineCosine values = SineCosineOf(x);
  const Longs fits = (x >= -kMostRadians) & (x <= kMostRadians);
  int64_t all_fit = -1;
  for (int i = 0; i < kDoubles; ++i) {
    all_fit &= fits[i];
  }
  if (__builtin_expect(!all_fit, 0)) {
    for (int i = 0; i < kDoubles; ++i) {
      if (!fits[i]) {
        values.sine[i] = __builtin_sin(x[i]);
        values.cosine[i] = __builtin_cos(x[i]);
      }
    }
  }
  return values;
}

}  // namespace IKELOS_ISA
}  // namespace ikelos

#endif  // IKELOS_CORE_SINE_COSINE_H_
