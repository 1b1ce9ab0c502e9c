// Logistic sigmoid and tanh for vectors. Per-ISA sources only: see simd.h.
#ifndef IKELOS_CORE_ACTIVATIONS_H_
#define IKELOS_CORE_ACTIVATIONS_H_

#include "core/simd.h"

namespace ikelos {
namespace IKELOS_ISA {

// e^x = power * (1 + rest), for x within -87.3 and 88.3: power is a power of 2, and |rest| < 0.42.
struct Exponential {
  Floats power, rest;
};

inline Exponential Exp(Floats x) {
  // Adding 1.5 * 2^23 rounds to an integer, which is then in the low bits together with the bias of
  // an exponent; shifting the other bits out leaves a power of 2.
  const float magic = 12582912.0f + 127.0f;
  const Floats shifted = x * 1.44269504f + magic;
  const Floats whole = shifted - magic;
  // log(2) in two parts, the first with so few bits that the product is exact.
  const Floats r = (x - whole * 0.693359375f) + whole * 2.12194440e-4f;
  // (e^r - 1 - r) / r^2: minimax for the relative error of e^r - 1, 1.4e-8.
  Floats p = r * 1.394658233e-3f + 8.366613649e-3f;
  p = p * r + 4.166628048e-2f;
  p = p * r + 1.6666543483e-1f;
  p = p * r + 0.5f;
  return {BitCast<Floats>(BitCast<Words>(shifted) << 23), r * r * p + r};
}

// Returns `x` limited to the range from `least` to `most`; NaN stays NaN.
inline Floats Clamp(Floats x, float least, float most) {
  const Floats above = x < least ? Broadcast(least) : x;
  return above > most ? Broadcast(most) : above;
}

// 1 / (1 + e^-x), within 2.5 units in the last place where the result is a normal number
// (tests/test_activations.cc). NaN stays NaN.
inline Floats Sigmoid(Floats x) {
  const Exponential e = Exp(Clamp(-x, -87.3f, 88.3f));
  return 1.0f / (1.0f + (e.power + e.power * e.rest));
}

// tanh, within 2.6 units in the last place. NaN stays NaN.
inline Floats Tanh(Floats x) {
  // (e^2x - 1) / (e^2x + 1), which rounds to 1 beyond 10. Near 0 the power is 1, so nothing
  // cancels.
  const Exponential e = Exp(Clamp(x + x, -20.0f, 20.0f));
  const Floats above = e.power * e.rest + (e.power - 1.0f);
  return above / (above + 2.0f);
}

}  // namespace IKELOS_ISA
}  // namespace ikelos

#endif  // IKELOS_CORE_ACTIVATIONS_H_
