// The error of Exp2 against 2^x in double, over evenly chosen float32 numbers from -126 to 0.
// `test_exp2 1` takes each of them (a minute an instruction set); the number is the step between
// bit patterns.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <vector>

#include "core/isa.h"
#include "tests/exp2_values.h"
#include "tests/testing.h"

namespace ikelos {
namespace {

float FromBits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

// The distance from the right value, in units of the last place of a float32 of that size.
double Ulps(float x, float y) {
  const double exact = std::exp2(static_cast<double>(x));
  int exponent;
  std::frexp(exact, &exponent);
  return std::fabs(y - exact) / std::ldexp(1.0, exponent - 24);
}

void Sweep(Isa isa, uint32_t step) {
  const uint32_t last = 0xc2fc0000;  // -126; from -0 on, larger bits are smaller numbers
  constexpr int64_t kCount = 4096;
  std::vector<float> x(kCount), y(kCount);
  double worst = 0;
  float worst_x = 0;
  for (uint64_t bits = 0x80000000; bits <= last; bits += static_cast<uint64_t>(step) * kCount) {
    for (int64_t i = 0; i < kCount; ++i) {
      x[i] = FromBits(
          static_cast<uint32_t>(std::min<uint64_t>(last, bits + static_cast<uint64_t>(i) * step)));
    }
    IKELOS_PICK(isa, Exp2Values)(x.data(), y.data(), kCount);
    for (int64_t i = 0; i < kCount; ++i) {
      const double ulps = Ulps(x[i], y[i]);
      if (ulps > worst) {
        worst = ulps, worst_x = x[i];
      }
    }
  }
  std::printf("%s: at most %.3f ulp, at %.9g\n", IsaName(isa), worst, worst_x);
  Expect(worst < 3.5, "Exp2 must stay within 3.5 units in the last place");
}

void Edges(Isa isa) {
  const float infinity = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::vector<float> x = {0.0f,      -0.0f, -126.0f, std::nextafter(-126.0f, -200.0f),
                          -infinity, nan,   -1.0f,   -std::numeric_limits<float>::max(),
                          1.0f,      3.0f,  127.0f,  -150.0f};
  x.resize(16, 0.0f);
  std::vector<float> y(16);
  IKELOS_PICK(isa, Exp2Values)(x.data(), y.data(), 16);
  const std::vector<float> wanted = {1, 1, std::ldexp(1.0f, -126), 0, 0, nan, 0.5f, 0,
                                     2, 8, std::ldexp(1.0f, 127),  0};
  for (size_t i = 0; i < wanted.size(); ++i) {
    const bool right = std::isnan(wanted[i])
                           ? std::isnan(y[i])
                           : std::fabs(y[i] - wanted[i]) <= 2.4e-7f * std::fabs(wanted[i]);
    Expect(right, "Exp2(" + std::to_string(x[i]) + ") is " + std::to_string(y[i]));
  }
  Expect(y[0] == 1 && y[1] == 1, "Exp2(0) must be exactly 1");
}

}  // namespace
}  // namespace ikelos

int main(int argc, char** argv) {
  const auto step = static_cast<uint32_t>(argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 997);
  for (ikelos::Isa isa : ikelos::SupportedIsas()) {
    ikelos::Sweep(isa, step);
    ikelos::Edges(isa);
  }
  return ikelos::Verdict();
}
