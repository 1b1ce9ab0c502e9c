// Tests of core/ for every instruction set of this machine, without TensorFlow. Prints the
// failures, and then exits with 1.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "core/rms_norm.h"
#include "tests/testing.h"

namespace ikelos {
namespace {

float ToFloat(float value) { return value; }
float ToFloat(BFloat16 value) {
  const uint32_t word = static_cast<uint32_t>(value.bits) << 16;
  float result;
  std::memcpy(&result, &word, sizeof(result));
  return result;
}

template <typename T>
T FromFloat(float value);
template <>
float FromFloat(float value) {
  return value;
}
// Truncates, since the inputs may be any bfloat16 numbers.
template <>
BFloat16 FromFloat(float value) {
  uint32_t word;
  std::memcpy(&word, &value, sizeof(word));
  return {static_cast<uint16_t>(word >> 16)};
}

// Half the relative distance between neighbouring numbers: the largest error of one rounding.
template <typename T>
constexpr double kRounding = 0;
template <>
constexpr double kRounding<float> = 1.0 / (1 << 24);
template <>
constexpr double kRounding<BFloat16> = 1.0 / (1 << 8);

// All arrays of one problem. A guard value that no kernel may change follows each array, and x
// starts at its second element, so that it is aligned to no more than its type.
template <typename T>
struct Problem {
  int64_t rows, columns;
  float epsilon = 1e-6f;
  std::vector<T> x, scale, dy, y, dx, dscale;
  std::vector<float> rstd, scratch;

  static constexpr float kGuard = 12345.0f;

  Problem(int64_t rows, int64_t columns) : rows(rows), columns(columns) {
    std::mt19937 generator(static_cast<uint32_t>(rows * 10007 + columns));
    std::normal_distribution<float> normal;
    const auto fill = [&](std::vector<T>& values, int64_t size) {
      values.resize(static_cast<size_t>(size));
      for (T& value : values) {
        value = FromFloat<T>(normal(generator));
      }
    };
    fill(x, rows * columns + 1);
    fill(scale, columns);
    fill(dy, rows * columns);
    const T guard = FromFloat<T>(kGuard);
    y.assign(static_cast<size_t>(rows * columns + 1), guard);
    dx.assign(static_cast<size_t>(rows * columns + 1), guard);
    dscale.assign(static_cast<size_t>(columns + 1), guard);
    rstd.assign(static_cast<size_t>(rows + 1), kGuard);
    scratch.assign(static_cast<size_t>(RmsNormGradScratch(rows, columns) + 1), kGuard);
  }

  void Run(Isa isa, const ParallelFor& parallel_for) {
    RmsNorm(x.data() + 1, scale.data(), y.data(), rstd.data(), rows, columns, epsilon, isa,
            parallel_for);
    RmsNormGrad(x.data() + 1, scale.data(), rstd.data(), dy.data(), dx.data(), dscale.data(),
                scratch.data(), rows, columns, isa, parallel_for);
  }

  bool GuardsHold() const {
    const float guard = ToFloat(FromFloat<T>(kGuard));
    return ToFloat(y.back()) == guard && ToFloat(dx.back()) == guard &&
           ToFloat(dscale.back()) == guard && rstd.back() == kGuard && scratch.back() == kGuard;
  }
};

// Compares with the same formulas in double. Each tolerance bounds the roundings: `row_depth` and
// `column_depth` are the longest chains of additions (4 sums of 4 lanes at least, 128 partial sums
// at most), the others are single roundings.
template <typename T>
void CompareWithDouble(Isa isa, int64_t rows, int64_t columns) {
  const std::string name = std::string(IsaName(isa)) + (sizeof(T) == 4 ? " float " : " bf16 ") +
                           std::to_string(rows) + "x" + std::to_string(columns);
  Problem<T> p(rows, columns);
  p.Run(isa, kSerial);
  Expect(p.GuardsHold(), name + ": wrote beyond an array");

  const double u = kRounding<float>;
  const double last = kRounding<T>;
  const double row_depth = static_cast<double>(columns) / 16 + 10;
  const double column_depth = static_cast<double>(rows) + 10;
  std::vector<double> dscale(static_cast<size_t>(columns)),
      dscale_size(static_cast<size_t>(columns));
  double worst_y = 0, worst_dx = 0, worst_dscale = 0;
  for (int64_t i = 0; i < rows; ++i) {
    const auto x = [&](int64_t j) {
      return static_cast<double>(ToFloat(p.x[static_cast<size_t>(1 + i * columns + j)]));
    };
    const auto dy = [&](int64_t j) {
      return static_cast<double>(ToFloat(p.dy[static_cast<size_t>(i * columns + j)]));
    };
    const auto scale = [&](int64_t j) {
      return static_cast<double>(ToFloat(p.scale[static_cast<size_t>(j)]));
    };
    double squares = 0, products = 0, products_size = 0;
    for (int64_t j = 0; j < columns; ++j) {
      squares += x(j) * x(j);
      products += dy(j) * scale(j) * x(j);
      products_size += std::fabs(dy(j) * scale(j) * x(j));
    }
    const double n = static_cast<double>(columns);
    const double rstd = 1 / std::sqrt(squares / n + p.epsilon);
    for (int64_t j = 0; j < columns; ++j) {
      const double y = x(j) * rstd * scale(j);
      const double dx = rstd * (dy(j) * scale(j) - x(j) * rstd * products * rstd / n);
      const double dx_size =
          rstd * (std::fabs(dy(j) * scale(j)) + std::fabs(x(j)) * rstd * products_size * rstd / n);
      const size_t at = static_cast<size_t>(i * columns + j);
      worst_y = std::max(worst_y,
                         std::fabs(ToFloat(p.y[at]) - y) / (std::fabs(y) * (row_depth * u + last)));
      worst_dx = std::max(
          worst_dx, std::fabs(ToFloat(p.dx[at]) - dx) / (dx_size * 2 * (row_depth * u + last)));
      dscale[static_cast<size_t>(j)] += dy(j) * x(j) * rstd;
      dscale_size[static_cast<size_t>(j)] += std::fabs(dy(j) * x(j) * rstd);
    }
  }
  for (size_t j = 0; j < dscale.size(); ++j) {
    const double tolerance = dscale_size[j] * ((row_depth + column_depth) * u + last);
    worst_dscale = std::max(worst_dscale, std::fabs(ToFloat(p.dscale[j]) - dscale[j]) / tolerance);
  }
  Expect(worst_y <= 1, name + ": y is off by " + std::to_string(worst_y) + " tolerances");
  Expect(worst_dx <= 1, name + ": dx is off by " + std::to_string(worst_dx) + " tolerances");
  Expect(worst_dscale <= 1,
         name + ": dscale is off by " + std::to_string(worst_dscale) + " tolerances");
}

// 3001 rows are more than 128 tasks' worth; 97 columns are a multiple of no vector.
void SameForAnyNumberOfThreads(Isa isa) {
  Problem<float> expected(3001, 97);
  expected.Run(isa, kSerial);
  for (int count : {2, 3, 8}) {
    Problem<float> p(3001, 97);
    ThreadPool pool(count);
    p.Run(isa, pool.For());
    Expect(SameBits(p.y, expected.y) && SameBits(p.rstd, expected.rstd) &&
               SameBits(p.dx, expected.dx) && SameBits(p.dscale, expected.dscale),
           std::string(IsaName(isa)) + ": " + std::to_string(count) +
               " threads give another result than one");
  }
}

// Rounds to nearest, ties to even, with the values that a blind rounding of bits would break: a sum
// of two rows, such as the scale gradient with x = rstd = 1, is exact in float32 and then rounded.
void RoundsToNearestEven(Isa isa) {
  const auto rounded_sum = [&](float a, float b) {
    const BFloat16 one = FromFloat<BFloat16>(1);
    const std::vector<BFloat16> x(34, one), scale(17, one);
    std::vector<BFloat16> dy(17, FromFloat<BFloat16>(a)), dx(34), dscale(17);
    dy.resize(34, FromFloat<BFloat16>(b));
    const std::vector<float> rstd(2, 1.0f);
    std::vector<float> scratch(static_cast<size_t>(RmsNormGradScratch(2, 17)));
    RmsNormGrad(x.data(), scale.data(), rstd.data(), dy.data(), dx.data(), dscale.data(),
                scratch.data(), 2, 17, isa, kSerial);
    const bool all_same =
        std::isnan(ToFloat(dscale[0])) || SameBits(dscale, std::vector<BFloat16>(17, dscale[0]));
    Expect(all_same, std::string(IsaName(isa)) + ": the end of a row is rounded unlike its start");
    return ToFloat(dscale[0]);
  };
  const float infinity = std::numeric_limits<float>::infinity();
  const std::string name = IsaName(isa);
  Expect(rounded_sum(1.0f, 1.0f / 256) == 1.0f,
         name + ": 1 + 2^-8 is a tie and must round down to even");
  Expect(rounded_sum(1.0078125f, 1.0f / 256) == 1.015625f,
         name + ": 1 + 3 * 2^-8 is a tie and must round up to even");
  Expect(rounded_sum(1.0f, 0.005859375f) == 1.0078125f, name + ": 1 + 1.5 * 2^-8 must round up");
  Expect(rounded_sum(infinity, 1.0f) == infinity, name + ": infinity must stay");
  Expect(std::isnan(rounded_sum(infinity, -infinity)), name + ": NaN must stay");
}

// A pool may be busy until long after the caller has done all the work itself.
void CallerNeedsNoHelp() {
  std::vector<std::function<void()>> late;
  std::vector<int> runs(100);
  OnPool(4, [&](std::function<void()> work) { late.push_back(std::move(work)); })(
      100, [&](int64_t i) { ++runs[static_cast<size_t>(i)]; });
  for (auto& work : late) {
    work();
  }
  Expect(late.size() == 3, "4 threads mean 3 helpers");
  Expect(runs == std::vector<int>(100, 1), "each task must run once");
}

// Helpers of one call wait for the next one, whichever thread makes it, and several may come at
// once.
void CallsFollowClosely() {
  ThreadPool pool(3);
  const ParallelFor parallel_for = pool.For();
  std::vector<std::thread> callers;
  std::vector<int64_t> sums(4);
  for (int64_t caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&, caller] {
      for (int64_t call = 0; call < 2000; ++call) {
        std::vector<int64_t> parts(static_cast<size_t>(2 + call % 5));
        parallel_for(static_cast<int64_t>(parts.size()),
                     [&](int64_t i) { parts[static_cast<size_t>(i)] += call + i; });
        for (int64_t part : parts) {
          sums[static_cast<size_t>(caller)] += part;
        }
      }
    });
  }
  for (std::thread& caller : callers) {
    caller.join();
  }
  int64_t expected = 0;
  for (int64_t call = 0; call < 2000; ++call) {
    for (int64_t i = 0; i < 2 + call % 5; ++i) {
      expected += call + i;
    }
  }
  Expect(sums == std::vector<int64_t>(4, expected), "tasks of calls that follow closely are lost");
}

template <typename T>
void TestType(Isa isa) {
  for (int64_t columns : {1, 2, 15, 16, 59, 64, 97, 111, 1025}) {
    for (int64_t rows : {0, 1, 7, 300}) {
      CompareWithDouble<T>(isa, rows, columns);
    }
  }
  CompareWithDouble<T>(isa, 5000, 59);
  CompareWithDouble<T>(isa, 3, 20000);
}

}  // namespace
}  // namespace ikelos

int main() {
  for (ikelos::Isa isa : ikelos::SupportedIsas()) {
    std::printf("%s\n", ikelos::IsaName(isa));
    ikelos::TestType<float>(isa);
    ikelos::TestType<ikelos::BFloat16>(isa);
    ikelos::SameForAnyNumberOfThreads(isa);
    ikelos::RoundsToNearestEven(isa);
  }
  ikelos::CallerNeedsNoHelp();
  ikelos::CallsFollowClosely();
  return ikelos::Verdict();
}
