// Helpers of the tests of functions of one float.
#ifndef IKELOS_TESTS_FUNCTION_SWEEP_H_
#define IKELOS_TESTS_FUNCTION_SWEEP_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <vector>

namespace ikelos {

using FunctionValues = void (*)(const float* x, float* y, int64_t count);

inline float FromBits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

inline uint32_t ToBits(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

// Returns the distance of `y` from the exact value, in units in the last place of a float32 of that
// size; subnormal numbers share one unit.
inline double Ulps(double exact, float y) {
  int exponent;
  std::frexp(exact, &exponent);
  return std::fabs(y - exact) / std::ldexp(1.0, std::max(exponent - 24, -149));
}

struct Sweep {
  double worst = 0;  // units in the last place
  float worst_x = 0;
  float least = 0, most = 0;  // of all results and 0
};

// Compares `values` with `exact` at every step-th float32 from `first` to `last`, which have the
// same sign, `first` nearer to 0.
inline Sweep SweepFunction(FunctionValues values, const std::function<double(double)>& exact,
                           float first, float last, uint32_t step) {
  const uint64_t last_bits = ToBits(last);
  constexpr int64_t kCount = 4096;
  std::vector<float> x(kCount), y(kCount);
  Sweep sweep;
  for (uint64_t bits = ToBits(first); bits <= last_bits;
       bits += static_cast<uint64_t>(step) * kCount) {
    for (int64_t i = 0; i < kCount; ++i) {
      x[i] = FromBits(static_cast<uint32_t>(
          std::min<uint64_t>(last_bits, bits + static_cast<uint64_t>(i) * step)));
    }
    values(x.data(), y.data(), kCount);
    for (int64_t i = 0; i < kCount; ++i) {
      const double ulps = Ulps(exact(x[i]), y[i]);
      if (!(ulps <= sweep.worst)) {
        sweep.worst = ulps, sweep.worst_x = x[i];
      }
      sweep.least = std::min(sweep.least, y[i]);
      sweep.most = std::max(sweep.most, y[i]);
    }
  }
  return sweep;
}

// Returns the step between bit patterns, from the command line; by default a prime, for a second of
// work.
inline uint32_t StepOf(int argc, char** argv) {
  return static_cast<uint32_t>(argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 997);
}

}  // namespace ikelos

#endif  // IKELOS_TESTS_FUNCTION_SWEEP_H_
