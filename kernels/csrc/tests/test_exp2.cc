// The error of Exp2 compared with 2^x in double, over evenly spaced float32 numbers from -126 to 0.
// `test_exp2 1` tests all of them (a minute per instruction set); the number is the step between
// bit patterns.
#include <cmath>
#include <cstdio>
#include <limits>
#include <string>
#include <vector>

#include "core/isa.h"
#include "tests/function_sweep.h"
#include "tests/function_values.h"
#include "tests/testing.h"

namespace ikelos {
namespace {

void Accuracy(Isa isa, uint32_t step) {
  const Sweep sweep = SweepFunction(
      IKELOS_PICK(isa, Exp2Values), [](double x) { return std::exp2(x); }, -0.0f, -126.0f, step);
  std::printf("%s: at most %.3f ulp, at %.9g\n", IsaName(isa), sweep.worst, sweep.worst_x);
  Expect(sweep.worst < 3.5, "Exp2 must stay within 3.5 units in the last place");
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
  for (ikelos::Isa isa : ikelos::SupportedIsas()) {
    ikelos::Accuracy(isa, ikelos::StepOf(argc, argv));
    ikelos::Edges(isa);
  }
  return ikelos::Verdict();
}
