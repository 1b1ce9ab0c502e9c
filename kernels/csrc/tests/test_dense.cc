// Dense products compared with the formulas in double, in every storage and instruction set.
#include <cstdint>
#include <cstdio>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "core/dense.h"
#include "tests/array.h"
#include "tests/rounded.h"
#include "tests/testing.h"

namespace ikelos {
namespace {

struct Problem {
  DenseProblem p{};
  Array x;
  std::vector<Array> kernels, outputs;

  Problem(Storage storage, int64_t rows, int64_t depth, const std::vector<int64_t>& widths,
          bool gated)
      : x(storage, rows * depth, 0) {
    std::mt19937 generator(static_cast<uint32_t>(rows * depth));
    std::normal_distribution<double> normal;
    const auto fill = [&](Array& array) {
      for (int64_t i = 0; i < array.size(); ++i) {
        array.Set(i, normal(generator));
      }
    };
    fill(x);
    p = {rows, depth, static_cast<int64_t>(widths.size()), gated, storage, x.data(), {}, {}, {}};
    for (int64_t width : widths) {
      kernels.emplace_back(storage, depth * width, 0);
      fill(kernels.back());
      if (outputs.empty() || !gated) {
        outputs.emplace_back(storage, rows * width, 64);
      }
    }
    for (size_t i = 0; i < widths.size(); ++i) {
      p.kernels[i] = kernels[i].data();
      p.widths[i] = widths[i];
    }
    for (size_t i = 0; i < outputs.size(); ++i) {
      p.outputs[i] = outputs[i].data();
    }
  }

  Rounded Product(size_t kernel, int64_t row, int64_t column) const {
    Total total;
    for (int64_t d = 0; d < p.depth; ++d) {
      total.Add(Exactly(x[row * p.depth + d]) *
                Exactly(kernels[kernel][d * p.widths[kernel] + column]));
    }
    return total.Result();
  }
};

void CompareWithDouble(Isa isa, Problem problem) {
  const DenseProblem& p = problem.p;
  Dense(p, isa, kSerial);
  double worst = 0;
  Comparison comparison(&worst);
  for (size_t i = 0; i < problem.outputs.size(); ++i) {
    std::vector<Rounded> expected;
    for (int64_t row = 0; row < p.rows; ++row) {
      for (int64_t column = 0; column < p.widths[i]; ++column) {
        const Rounded product = problem.Product(i, row, column);
        expected.push_back(p.gated ? product * Sigmoid(product) * problem.Product(1, row, column)
                                   : product);
      }
    }
    comparison.Add("output", problem.outputs[i], Bounded(expected, p.storage),
                   /*is_gradient=*/false);
  }
  Expect(comparison.problems().empty(), std::string(IsaName(isa)) + " " + StorageName(p.storage) +
                                            " " + std::to_string(p.rows) + " rows of " +
                                            std::to_string(p.depth) +
                                            (p.gated ? ", gated: " : ": ") + comparison.problems());
}

// A row's result must not depend on the others, which may be NaN or infinite.
void RowsAreSeparate(Isa isa) {
  for (int64_t rows : {3, 8, 17}) {
    Problem expected(Storage::kFloat32, rows, 59, {97}, false);
    Problem spoilt(Storage::kFloat32, rows, 59, {97}, false);
    spoilt.x.Set(59 * (rows - 1), std::numeric_limits<double>::quiet_NaN());
    for (Problem* problem : {&expected, &spoilt}) {
      Dense(problem->p, isa, kSerial);
    }
    bool same = true;
    for (int64_t i = 0; i < 97 * (rows - 1); ++i) {
      same = same && expected.outputs[0][i] == spoilt.outputs[0][i];
    }
    Expect(same, std::string(IsaName(isa)) + ": a NaN spoils other rows");
  }
}

void SameForAnyNumberOfThreads(Isa isa) {
  for (int64_t rows : {1, 5, 40}) {
    Problem expected(Storage::kFloat32, rows, 257, {1025, 64}, false);
    Dense(expected.p, isa, kSerial);
    for (int count : {2, 8}) {
      Problem problem(Storage::kFloat32, rows, 257, {1025, 64}, false);
      ThreadPool pool(count);
      Dense(problem.p, isa, pool.For());
      Expect(problem.outputs[0].SameBits(expected.outputs[0]) &&
                 problem.outputs[1].SameBits(expected.outputs[1]),
             std::string(IsaName(isa)) + ": " + std::to_string(count) +
                 " threads give another result than one");
    }
  }
}

}  // namespace
}  // namespace ikelos

int main() {
  using ikelos::Problem;
  using ikelos::Storage;
  for (ikelos::Isa isa : ikelos::SupportedIsas()) {
    std::printf("%s\n", ikelos::IsaName(isa));
    for (Storage storage : {Storage::kFloat32, Storage::kBFloat16, Storage::kFloat16}) {
      for (int64_t rows : {0, 1, 2, 3, 4, 5, 8, 9, 16, 17, 31}) {
        for (int64_t depth : {0, 1, 8, 59, 97}) {
          ikelos::CompareWithDouble(isa, Problem(storage, rows, depth, {1, 15, 111}, false));
          ikelos::CompareWithDouble(isa, Problem(storage, rows, depth, {33, 33}, true));
        }
      }
      // Several tasks.
      ikelos::CompareWithDouble(isa, Problem(storage, 3, 513, {257}, false));
      ikelos::CompareWithDouble(isa, Problem(storage, 18, 513, {257, 257}, true));
    }
    ikelos::RowsAreSeparate(isa);
    ikelos::SameForAnyNumberOfThreads(isa);
  }
  return ikelos::Verdict();
}
