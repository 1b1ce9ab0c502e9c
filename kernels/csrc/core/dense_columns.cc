// A few rows times a range of columns. Compiled once per instruction set.
//
// Up to kMostRows rows are multiplied by multiply_rows.h. More would read and write its sums too
// often: then panels of weights are copied for gemm.h.
#include "core/dense_columns.h"

#include "core/activations.h"
#include "core/multiply_rows.h"

namespace ikelos {
namespace IKELOS_ISA {
namespace {

constexpr int64_t kMostRows = 16;

// sums[i, :] = x[i, :] times columns begin <= u < begin + columns, for many rows. `panel` has room
// for a panel of all rows of the kernel.
void MultiplyPanels(const DenseProblem& p, int64_t index, int64_t begin, int64_t columns,
                    const float* x, float* panel, float* sums, int64_t sums_row) {
  WithStorage(p.storage, p.kernels[index], [&](const auto* kernel) {
    for (int64_t j = 0; j < columns; j += kPanel) {
      const int64_t count = columns - j < kPanel ? columns - j : kPanel;
      CopyRows(kernel + begin + j, p.widths[index], p.depth, count, 1.0f, panel,
               RoundUp(count, kLanes), p.depth);
      for (int64_t r = 0; r < p.rows; r += kGroup) {
        Gemm<Into::kNew>(x + r * p.depth, p.depth, 1, panel, RoundUp(count, kLanes), 0,
                         sums + r * sums_row + j, sums_row, nullptr, p.depth,
                         RoundUp(count, kLanes));
      }
    }
  });
}

struct Memory {
  int64_t rows, sums_row;  // padded for whole tiles
  float *x, *panel, *sums, *factors;
};

Memory LayOut(const DenseProblem& p, int64_t columns, Scratch& scratch) {
  Memory m;
  m.rows = p.rows > kMostRows ? RoundUp(p.rows, kGroup) : p.rows;
  m.sums_row = RoundUp(columns, kLanes);
  m.x = scratch.Take(m.rows * p.depth);
  m.panel = p.rows > kMostRows ? scratch.Take(kPanel * p.depth) : nullptr;
  m.sums = scratch.Take(m.rows * m.sums_row);
  m.factors = p.gated ? scratch.Take(m.rows * m.sums_row) : nullptr;
  return m;
}

void Multiply(const DenseProblem& p, int64_t index, int64_t begin, int64_t columns, const Memory& m,
              float* sums) {
  if (m.panel == nullptr) {
    WithStorage(p.storage, p.kernels[index], [&](const auto* kernel) {
      MultiplyRows(kernel + begin, p.widths[index], p.depth, columns, m.x, p.depth, p.rows, sums,
                   m.sums_row);
    });
  } else {
    MultiplyPanels(p, index, begin, columns, m.x, m.panel, sums, m.sums_row);
  }
}

}  // namespace

int64_t DenseScratch(const DenseProblem& p, int64_t columns) {
  Scratch counted = {nullptr};
  LayOut(p, columns, counted);
  return counted.used;
}

void RunDense(const DenseProblem& p, int64_t output, int64_t begin, int64_t end, float* scratch) {
  Scratch memory = {scratch};
  const int64_t columns = end - begin;
  const Memory m = LayOut(p, columns, memory);
  for (int64_t i = 0; i < p.rows * p.depth; i += kLanes) {
    const int64_t left = p.rows * p.depth - i;
    StorePart(LoadPart(p.storage, p.x, i, left), m.x + i, left);
  }
  std::memset(m.x + p.rows * p.depth, 0,
              static_cast<size_t>((m.rows - p.rows) * p.depth) * sizeof(float));
  Multiply(p, output, begin, columns, m, m.sums);
  if (p.gated) {
    Multiply(p, 1, begin, columns, m, m.factors);
    for (int64_t i = 0; i < p.rows * m.sums_row; i += kLanes) {
      const Floats gate = Load(m.sums + i);
      Store(gate * Sigmoid(gate) * Load(m.factors + i), m.sums + i);
    }
  }
  WithStorage(p.storage, p.outputs[output], [&](auto* out) {
    StoreRows(m.sums, m.sums_row, nullptr, 1.0f, out + begin, p.widths[output], p.rows, columns);
  });
}

extern const DenseColumns kDenseColumns;
const DenseColumns kDenseColumns = {DenseScratch, RunDense};

}  // namespace IKELOS_ISA
}  // namespace ikelos
