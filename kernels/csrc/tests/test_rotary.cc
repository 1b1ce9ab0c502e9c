// Tests of rotary positions for every instruction set of this machine, against the formula in
// double. Prints the failures, and then exits with 1. Sine and cosine are tested over evenly spaced
// float32 angles; the number in `test_rotary 11` is the step between their bit patterns.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "core/isa.h"
#include "core/rotary.h"
#include "tests/array.h"
#include "tests/function_sweep.h"
#include "tests/function_values.h"
#include "tests/testing.h"

namespace ikelos {
namespace {

constexpr Storage kStorages[] = {Storage::kFloat32, Storage::kBFloat16, Storage::kFloat16};
constexpr float kLargest = std::numeric_limits<float>::max();
// Beyond some 3.4e9 the kernel calls the C library, as the test does.
constexpr float kLast = 1e10f;

// --- sine and cosine -----------------------------------------------------------------------------

void Accuracy(Isa isa, uint32_t step) {
  const struct {
    const char* name;
    FunctionValues values;
    double (*exact)(double);
  } functions[] = {
      {"sine", IKELOS_PICK(isa, SineValues), [](double x) { return std::sin(x); }},
      {"cosine", IKELOS_PICK(isa, CosineValues), [](double x) { return std::cos(x); }}};
  for (const auto& f : functions) {
    for (const float last : {kLast, -kLast}) {
      const Sweep sweep = SweepFunction(f.values, f.exact, std::copysign(0.0f, last), last, step);
      std::printf("%s %s: at most %.3f ulp, at %.9g\n", IsaName(isa), f.name, sweep.worst,
                  sweep.worst_x);
      Expect(sweep.worst < 0.51, std::string(IsaName(isa)) + " " + f.name +
                                     " must stay within 0.51 units in the last place");
    }
  }
}

void Edges(Isa isa) {
  const float infinity = std::numeric_limits<float>::infinity();
  const float tiny = std::numeric_limits<float>::denorm_min();
  // Infinities beside numbers: a vector has both.
  const std::vector<float> x = {infinity, 0.0f, -0.0f, -infinity, tiny, -tiny, NAN, kLargest,
                                0,        0,    0,     0,         0,    0,     0,   0};
  std::vector<float> sine(16), cosine(16);
  IKELOS_PICK(isa, SineValues)(x.data(), sine.data(), 16);
  IKELOS_PICK(isa, CosineValues)(x.data(), cosine.data(), 16);
  for (size_t i = 0; i < 8; ++i) {
    const bool right = std::isfinite(x[i])
                           ? sine[i] == static_cast<float>(std::sin(double{x[i]})) &&
                                 cosine[i] == static_cast<float>(std::cos(double{x[i]}))
                           : std::isnan(sine[i]) && std::isnan(cosine[i]);
    Expect(right, std::string(IsaName(isa)) + " sine and cosine of " + std::to_string(x[i]) +
                      " are " + std::to_string(sine[i]) + " and " + std::to_string(cosine[i]));
  }
}

// --- the rotation --------------------------------------------------------------------------------

struct Case {
  int64_t batch, steps, heads, key_heads, pairs;
  Storage storage;
  bool has_rows, is_transposed;
  std::vector<int32_t> positions;
  std::vector<float> frequencies;
  std::vector<Array> inputs;

  Case(int64_t batch, int64_t steps, int64_t heads, int64_t key_heads, int64_t pairs,
       Storage storage, bool has_rows, bool is_transposed)
      : batch(batch),
        steps(steps),
        heads(heads),
        key_heads(key_heads),
        pairs(pairs),
        storage(storage),
        has_rows(has_rows),
        is_transposed(is_transposed) {
    std::mt19937 random(static_cast<uint32_t>(batch + 10 * steps + 1000 * pairs));
    for (int64_t i = 0; i < (has_rows ? batch : 1) * steps; ++i) {
      positions.push_back(static_cast<int32_t>(random() >> (i % 32)));
    }
    for (int64_t i = 0; i < pairs; ++i) {
      frequencies.push_back(std::pow(1e-4f, static_cast<float>(i) / static_cast<float>(pairs)));
    }
    for (const int64_t n : {heads, key_heads}) {
      inputs.emplace_back(storage, batch * steps * n * 2 * pairs, 64);
      for (int64_t i = 0; i < inputs.back().size(); ++i) {
        inputs.back().Set(i, std::normal_distribution<float>()(random));
      }
    }
  }

  std::string Name(Isa isa) const {
    return std::string(IsaName(isa)) + " " + StorageName(storage) + " " + std::to_string(batch) +
           "x" + std::to_string(steps) + "x(" + std::to_string(heads) + "+" +
           std::to_string(key_heads) + ")x" + std::to_string(2 * pairs) +
           (has_rows ? " by row" : "") + (is_transposed ? " transposed" : "");
  }

  static constexpr float kMagnitude = 1.375f;

  void Rotate(const std::vector<Array>& from, std::vector<Array>* to, Isa isa,
              const ParallelFor& parallel_for) const {
    RotaryProblem p{};
    p.batch = batch;
    p.steps = steps;
    p.pairs = pairs;
    p.arrays[0] = {from[0].data(), (*to)[0].data(), heads};
    p.arrays[1] = {from[1].data(), (*to)[1].data(), key_heads};
    p.storage = storage;
    p.positions = positions.data();
    p.has_rows = has_rows;
    p.frequencies = frequencies.data();
    p.magnitude = kMagnitude;
    p.is_transposed = is_transposed;
    Rotary(p, isa, parallel_for);
  }

  std::vector<Array> Run(Isa isa, const ParallelFor& parallel_for) const {
    std::vector<Array> outputs;
    for (const Array& input : inputs) {
      outputs.emplace_back(storage, input.size(), 64);
    }
    Rotate(inputs, &outputs, isa, parallel_for);
    return outputs;
  }

  // The rotation in double, by the float32 product of position and frequency. The error is that of
  // the rounded sines and cosines, of two products and of their sum.
  std::vector<Number> Expected(const Array& input, int64_t n) const {
    std::vector<Number> expected(static_cast<size_t>(input.size()));
    for (int64_t row = 0; row < batch * steps; ++row) {
      const int32_t position = positions[static_cast<size_t>(has_rows ? row : row % steps)];
      for (int64_t head = 0; head < n; ++head) {
        for (int64_t i = 0; i < pairs; ++i) {
          const float angle = static_cast<float>(position) * frequencies[static_cast<size_t>(i)];
          const double sine = std::sin(double{angle}) * (is_transposed ? -1 : 1);
          const double cosine = std::cos(double{angle});
          const int64_t at = (row * n + head) * 2 * pairs + i;
          const double first = input[at], second = input[at + pairs];
          const auto set = [&](int64_t index, double x, double y) {
            const double value = kMagnitude * (x + y);
            const double size = kMagnitude * (std::fabs(x) + std::fabs(y));
            expected[static_cast<size_t>(index)] = {
                value, 3.02 * 0x1p-24 * size + Rounding(storage, value)};
          };
          set(at, first * cosine, -second * sine);
          set(at + pairs, second * cosine, first * sine);
        }
      }
    }
    return expected;
  }
};

// Pairs that are a multiple of no vector, of some, and of none; rows that share positions.
void RotationsInDouble(Isa isa, double* worst) {
  const int64_t sizes[][5] = {{1, 1, 4, 4, 32},  {3, 7, 5, 0, 1},   {2, 5, 3, 2, 7},
                              {2, 3, 2, 1, 16},  {1, 9, 1, 3, 59},  {40, 2, 2, 2, 111},
                              {3, 700, 2, 1, 9}, {70, 1, 0, 3, 48}, {2, 3, 1, 1, 1025}};
  for (const auto& size : sizes) {
    for (const Storage storage : kStorages) {
      for (const int kind : {0, 1, 2, 3}) {
        const Case c(size[0], size[1], size[2], size[3], size[4], storage, kind & 1, kind & 2);
        const std::vector<Array> outputs = c.Run(isa, kSerial);
        Comparison comparison(worst);
        comparison.Add("query", outputs[0], c.Expected(c.inputs[0], c.heads), false);
        comparison.Add("key", outputs[1], c.Expected(c.inputs[1], c.key_heads), false);
        Expect(comparison.problems().empty(), c.Name(isa) + ": " + comparison.problems());
      }
    }
  }
}

void SameForAnyNumberOfThreads(Isa isa) {
  for (const bool has_rows : {false, true}) {
    const Case c(5, 97, 6, 2, 59, Storage::kFloat32, has_rows, false);
    const std::vector<Array> expected = c.Run(isa, kSerial);
    for (const int count : {2, 3, 8}) {
      ThreadPool pool(count);
      const std::vector<Array> outputs = c.Run(isa, pool.For());
      Expect(outputs[0].SameBits(expected[0]) && outputs[1].SameBits(expected[1]),
             c.Name(isa) + ": " + std::to_string(count) + " threads give another result than one");
    }
  }
}

void InPlace(Isa isa) {
  for (const int64_t pairs : {7, 16, 59}) {
    Case c(2, 5, 3, 2, pairs, Storage::kFloat32, false, false);
    const std::vector<Array> expected = c.Run(isa, kSerial);
    std::vector<Array> arrays = c.inputs;
    c.Rotate(arrays, &arrays, isa, kSerial);
    Expect(arrays[0].SameBits(expected[0]) && arrays[1].SameBits(expected[1]),
           c.Name(isa) + ": in place gives another result");
  }
}

void NothingToDo(Isa isa) {
  const int64_t sizes[][5] = {{0, 3, 2, 1, 4}, {3, 0, 2, 1, 4}, {2, 3, 0, 0, 4}, {2, 3, 2, 1, 0}};
  for (const auto& size : sizes) {
    const Case c(size[0], size[1], size[2], size[3], size[4], Storage::kFloat32, true, false);
    for (const Array& output : c.Run(isa, kSerial)) {
      Expect(output.size() == 0 && output.GuardHolds(), c.Name(isa) + ": wrote something");
    }
  }
}

// A decoded token is rotated on the calling thread alone.
void FewElementsAreOneTask(Isa isa) {
  const auto tasks = [&](int64_t batch, int64_t steps) {
    int64_t found = 0;
    const ParallelFor count = {8, [&](int64_t number, const std::function<void(int64_t)>& task) {
                                 found = number;
                                 kSerial(number, task);
                               }};
    Case(batch, steps, 8, 8, 32, Storage::kFloat32, true, false).Run(isa, count);
    return found;
  };
  Expect(tasks(1, 1) == 1 && tasks(8, 1) == 1, "a call of few elements must be one task");
  Expect(tasks(8, 64) > 8, "a call of many elements must be many tasks");
}

}  // namespace
}  // namespace ikelos

int main(int argc, char** argv) {
  double worst = 0;
  for (ikelos::Isa isa : ikelos::SupportedIsas()) {
    ikelos::Accuracy(isa, ikelos::StepOf(argc, argv));
    ikelos::Edges(isa);
    ikelos::RotationsInDouble(isa, &worst);
    ikelos::SameForAnyNumberOfThreads(isa);
    ikelos::InPlace(isa);
    ikelos::NothingToDo(isa);
    ikelos::FewElementsAreOneTask(isa);
  }
  std::printf("at most %.3f of the tolerance\n", worst);
  return ikelos::Verdict();
}
