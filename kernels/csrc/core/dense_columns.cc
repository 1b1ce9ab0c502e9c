// A few rows times a range of columns. Compiled once per instruction set.
//
// The weights are read in the order of memory, kDepth rows of them at a time; sums are kept in the
// first-level cache from one block of rows to the next. For more than kMostRows rows, which would
// read and write those sums too often, panels of weights are copied for gemm.h instead.
#include "core/dense_columns.h"

#include "core/activations.h"
#include "core/pack.h"

namespace ikelos {
namespace IKELOS_ISA {
namespace {

constexpr int64_t kDepth = 8;
constexpr int64_t kMostRows = 16;

// Rows of x whose sums are in registers together, and the vectors of columns of each.
constexpr int kRows = 8;
template <int rows>
constexpr int kVectors = kLanes == 16 ? (rows > 4 ? 2 : 4)
                                      : (rows > 4   ? 1
                                         : rows > 2 ? 2
                                                    : 4);

// sums[i, :] += sum_d x[i, d] * kernel[d, :], over `vectors` vectors of columns and `depth` rows of
// the kernel.
template <int rows, int vectors, typename T>
inline void AddBlock(const float* x, int64_t x_row, const T* kernel, int64_t width, int64_t depth,
                     float* sums, int64_t sums_row) {
  Floats tile[rows][vectors];
#pragma GCC unroll 8
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < vectors; ++j) {
      tile[i][j] = Load(sums + i * sums_row + j * kLanes);
    }
  }
  for (int64_t d = 0; d < depth; ++d, kernel += width) {
    Floats panel[vectors];
#pragma GCC unroll 4
    for (int j = 0; j < vectors; ++j) {
      if constexpr (rows > 2) {
        // With little arithmetic between, the processor's own prefetching does better.
        __builtin_prefetch(kernel + kDepth * width + j * kLanes);
      }
      panel[j] = Load(kernel + j * kLanes);
    }
#pragma GCC unroll 8
    for (int i = 0; i < rows; ++i) {
      const Floats factor = Broadcast(x[i * x_row + d]);
#pragma GCC unroll 4
      for (int j = 0; j < vectors; ++j) {
        tile[i][j] += factor * panel[j];
      }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < vectors; ++j) {
      Store(tile[i][j], sums + i * sums_row + j * kLanes);
    }
  }
}

// The same for `columns` columns.
template <int rows, typename T>
void AddRows(const float* x, int64_t x_row, const T* kernel, int64_t width, int64_t depth,
             int64_t columns, float* sums, int64_t sums_row) {
  constexpr int vectors = kVectors<rows>;
  int64_t j = 0;
  for (; j + vectors * kLanes <= columns; j += vectors * kLanes) {
    AddBlock<rows, vectors>(x, x_row, kernel + j, width, depth, sums + j, sums_row);
  }
  for (; j + kLanes <= columns; j += kLanes) {
    AddBlock<rows, 1>(x, x_row, kernel + j, width, depth, sums + j, sums_row);
  }
  if (j == columns) {
    return;
  }
  for (int64_t d = 0; d < depth; ++d) {
    const Floats weights = LoadPart(kernel + d * width + j, columns - j);
    for (int i = 0; i < rows; ++i) {
      float* const sum = sums + i * sums_row + j;
      Store(Load(sum) + x[i * x_row + d] * weights, sum);
    }
  }
}

template <typename T>
void AddAnyRows(int64_t rows, const float* x, int64_t x_row, const T* kernel, int64_t width,
                int64_t depth, int64_t columns, float* sums, int64_t sums_row) {
  switch (rows) {
    case 1:
      return AddRows<1>(x, x_row, kernel, width, depth, columns, sums, sums_row);
    case 2:
      return AddRows<2>(x, x_row, kernel, width, depth, columns, sums, sums_row);
    case 3:
    case 4:
      return AddRows<4>(x, x_row, kernel, width, depth, columns, sums, sums_row);
    default:
      return AddRows<kRows>(x, x_row, kernel, width, depth, columns, sums, sums_row);
  }
}

// sums [padded rows, columns rounded up] = x times columns begin <= u < begin + columns.
void MultiplyRows(const DenseProblem& p, int64_t index, int64_t begin, int64_t columns,
                  const float* x, float* sums, int64_t sums_row) {
  const int64_t width = p.widths[index];
  std::memset(sums, 0, static_cast<size_t>(RoundUp(p.rows, kRows) * sums_row) * sizeof(float));
  WithStorage(p.storage, p.kernels[index], [&](const auto* kernel) {
    for (int64_t d = 0; d < p.depth; d += kDepth) {
      const int64_t depth = p.depth - d < kDepth ? p.depth - d : kDepth;
      for (int64_t r = 0; r < p.rows; r += kRows) {
        AddAnyRows(p.rows - r, x + r * p.depth + d, p.depth, kernel + d * width + begin, width,
                   depth, columns, sums + r * sums_row, sums_row);
      }
    }
  });
}

// The same for many rows. `panel` has room for a panel of all rows of the kernel.
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
  m.rows = RoundUp(p.rows, p.rows > kMostRows ? kGroup : kRows);
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
    MultiplyRows(p, index, begin, columns, m.x, sums, m.sums_row);
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
