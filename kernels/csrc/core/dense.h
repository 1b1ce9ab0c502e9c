// The product of a few rows with one or more matrices, as in decoding: each weight is used once per
// row, so the time is that of reading the weights once.
//
//   outputs[i][r, u] = sum_d x[r, d] * kernels[i][d, u]
//
// or, with `gated`, the one output silu(x kernels[0]) * (x kernels[1]) (Shazeer 2020, equation 6
// without its last product).
#ifndef IKELOS_CORE_DENSE_H_
#define IKELOS_CORE_DENSE_H_

#include <cstdint>

#include "core/half.h"
#include "core/isa.h"
#include "core/parallel.h"

namespace ikelos {

constexpr int kMostDenseKernels = 3;

struct DenseProblem {
  int64_t rows;   // R
  int64_t depth;  // D
  int64_t count;  // of the kernels, at most kMostDenseKernels
  bool gated;     // needs two kernels of the same width
  Storage storage;
  const void* x;                           // [R, D]
  const void* kernels[kMostDenseKernels];  // [D, widths[i]]
  int64_t widths[kMostDenseKernels];
  void* outputs[kMostDenseKernels];  // [R, widths[i]]; only the first with `gated`
};

// Sums are in float32, in an order that depends only on D, and rounded once. Results don't depend
// on parallel_for.
void Dense(const DenseProblem& problem, Isa isa, const ParallelFor& parallel_for);

}  // namespace ikelos

#endif  // IKELOS_CORE_DENSE_H_
