// The errors of Sigmoid and Tanh compared with double, over evenly spaced float32 numbers.
// `test_activations 1` tests all of them (some minutes per instruction set); the number is the step
// between bit patterns.
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

constexpr float kLargest = std::numeric_limits<float>::max();
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

struct Function {
  const char* name;
  FunctionValues values;
  double (*exact)(double);
  float lowest;  // below this the result is subnormal or 0
  double ulps;
  float least, most;
};

std::vector<Function> Functions(Isa isa) {
  return {{"Sigmoid", IKELOS_PICK(isa, SigmoidValues),
           [](double x) { return 1 / (1 + std::exp(-x)); }, -87.3f, 2.5, 0, 1},
          {"Tanh", IKELOS_PICK(isa, TanhValues), [](double x) { return std::tanh(x); }, -kLargest,
           2.6, -1, 1}};
}

void Accuracy(const Function& f, Isa isa, uint32_t step) {
  const std::string name = std::string(IsaName(isa)) + " " + f.name;
  const struct {
    const char* name;
    float last;
  } halves[] = {{"above 0", kLargest}, {"below 0", f.lowest}};
  for (const auto& half : halves) {
    const Sweep sweep =
        SweepFunction(f.values, f.exact, std::copysign(0.0f, half.last), half.last, step);
    std::printf("%s %s: at most %.3f ulp, at %.9g\n", name.c_str(), half.name, sweep.worst,
                sweep.worst_x);
    Expect(sweep.worst < f.ulps,
           name + " must stay within " + std::to_string(f.ulps) + " units in the last place");
    Expect(f.least <= sweep.least && sweep.most <= f.most, name + " must stay within its limits");
  }
}

void Edges(Isa isa) {
  const float tiny = std::numeric_limits<float>::denorm_min();
  std::vector<float> x = {0.0f,      -0.0f, kInfinity, -kInfinity, kNaN, kLargest,
                          -kLargest, 88.0f, -88.0f,    -104.0f,    tiny, -tiny};
  x.resize(16, 0.0f);
  std::vector<float> y(16);
  const auto expect = [&](const char* name, size_t at, bool right) {
    Expect(right, std::string(IsaName(isa)) + " " + name + "(" + std::to_string(x[at]) + ") is " +
                      std::to_string(y[at]));
  };

  IKELOS_PICK(isa, SigmoidValues)(x.data(), y.data(), 16);
  for (size_t i : {0, 1, 10, 11}) {
    expect("Sigmoid", i, y[i] == 0.5f);
  }
  for (size_t i : {2, 5, 7}) {
    expect("Sigmoid", i, y[i] == 1);
  }
  for (size_t i : {3, 6, 8, 9}) {
    expect("Sigmoid", i, y[i] >= 0 && y[i] < 0x1.1p-126f);
  }
  expect("Sigmoid", 4, std::isnan(y[4]));

  IKELOS_PICK(isa, TanhValues)(x.data(), y.data(), 16);
  for (size_t i : {0, 1}) {
    expect("Tanh", i, y[i] == 0);
  }
  for (size_t i : {2, 5, 7}) {
    expect("Tanh", i, y[i] == 1);
  }
  for (size_t i : {3, 6, 8, 9}) {
    expect("Tanh", i, y[i] == -1);
  }
  expect("Tanh", 4, std::isnan(y[4]));
  expect("Tanh", 10, y[10] == tiny);
  expect("Tanh", 11, y[11] == -tiny);
}

}  // namespace
}  // namespace ikelos

int main(int argc, char** argv) {
  for (ikelos::Isa isa : ikelos::SupportedIsas()) {
    for (const ikelos::Function& function : ikelos::Functions(isa)) {
      ikelos::Accuracy(function, isa, ikelos::StepOf(argc, argv));
    }
    ikelos::Edges(isa);
  }
  return ikelos::Verdict();
}
