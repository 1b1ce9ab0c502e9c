// A few rows times a matrix that is not packed. Per-ISA sources only: see simd.h.
#ifndef IKELOS_CORE_MULTIPLY_ROWS_H_
#define IKELOS_CORE_MULTIPLY_ROWS_H_

#include <cstring>

#include "core/pack.h"
#include "core/tiles.h"

namespace ikelos {
namespace IKELOS_ISA {

constexpr int64_t kDepth = 8;

// Vectors of columns whose sums are in registers together, for each number of rows.
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
  const auto add = [&](auto count) {
    constexpr int at_once = decltype(count)::value;
    for (; rows >= at_once; rows -= at_once, x += at_once * x_row, sums += at_once * sums_row) {
      AddRows<at_once>(x, x_row, kernel, width, depth, columns, sums, sums_row);
    }
  };
  add(Count<8>{});
  add(Count<4>{});
  add(Count<2>{});
  add(Count<1>{});
}

// sums[i, :] = sum_d x[i, d] * kernel[d, :] for some rows of x and `columns` columns; sums has room
// for whole vectors. The weights are read in the order of memory, kDepth rows of them at a time;
// sums are kept in the first-level cache from one block of rows to the next.
template <typename T>
void MultiplyRows(const T* kernel, int64_t width, int64_t depth, int64_t columns, const float* x,
                  int64_t x_row, int64_t rows, float* sums, int64_t sums_row) {
  for (int64_t i = 0; i < rows; ++i) {
    std::memset(sums + i * sums_row, 0,
                static_cast<size_t>(RoundUp(columns, kLanes)) * sizeof(float));
  }
  for (int64_t d = 0; d < depth; d += kDepth) {
    AddAnyRows(rows, x + d, x_row, kernel + d * width, width,
               depth - d < kDepth ? depth - d : kDepth, columns, sums, sums_row);
  }
}

}  // namespace IKELOS_ISA
}  // namespace ikelos

#endif  // IKELOS_CORE_MULTIPLY_ROWS_H_
