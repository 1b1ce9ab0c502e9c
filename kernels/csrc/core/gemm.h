// The matrix product that the kernels are built from: a few rows times a panel, with all sums in
// registers. Per-ISA sources only: see simd.h.
#ifndef IKELOS_CORE_GEMM_H_
#define IKELOS_CORE_GEMM_H_

#include "core/simd.h"

namespace ikelos {
namespace IKELOS_ISA {

// Rows are multiplied in groups of this size. Of the shapes tried on Zen 4, 6 rows by 4 vectors
// came closest to the processor's peak (111 of 112 GFLOP/s a core, 12 by 2: 101), because it needs
// the fewest loads per multiplication that leave room for all accumulators. Narrower panels take
// all 12 rows at once, to have enough sums in flight.
constexpr int kGroup = 12;
#if defined(__AVX512F__)
constexpr int kPanelVectors = 4;
#else
constexpr int kPanelVectors = 2;  // 6 x 2 sums fit into 16 registers
#endif
constexpr int kPanel = kPanelVectors * kLanes;

// Content of c before the call: none (kNew), sums to add to (kSum), or sums to multiply by a factor
// per row before adding (kScaledSum).
enum class Into { kNew, kSum, kScaledSum };

// sums[i, :] += sum_p a[i * a_row + p * a_step] * b[p * b_row + :], all sums in registers.
template <int rows, int vectors>
__attribute__((always_inline)) inline void MultiplyAdd(Floats (&sums)[rows][vectors],
                                                       const float* a, int64_t a_row,
                                                       int64_t a_step, const float* b,
                                                       int64_t b_row, int64_t depth) {
  for (int64_t p = 0; p < depth; ++p, a += a_step, b += b_row) {
    Floats panel[vectors];
#pragma GCC unroll 4
    for (int j = 0; j < vectors; ++j) {
      panel[j] = Load(b + j * kLanes);
    }
#pragma GCC unroll 12
    for (int i = 0; i < rows; ++i) {
      const Floats factor = Broadcast(a[i * a_row]);
#pragma GCC unroll 4
      for (int j = 0; j < vectors; ++j) {
        sums[i][j] += factor * panel[j];
      }
    }
  }
}

// c[i, :] (+)= sum_p a[i * a_row + p * a_step] * b[p * b_row + :], over `vectors` vectors of
// columns.
template <int rows, int vectors, Into into>
__attribute__((noinline)) void GemmTile(const float* a, int64_t a_row, int64_t a_step,
                                        const float* b, int64_t b_row, float* c, int64_t c_row,
                                        const float* factors, int64_t depth) {
  Floats sums[rows][vectors];
#pragma GCC unroll 12
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < vectors; ++j) {
      if constexpr (into == Into::kNew) {
        sums[i][j] = Floats{};
      } else {
        sums[i][j] = Load(c + i * c_row + j * kLanes);
        if constexpr (into == Into::kScaledSum) {
          sums[i][j] *= factors[i];
        }
      }
    }
  }
  MultiplyAdd(sums, a, a_row, a_step, b, b_row, depth);
#pragma GCC unroll 12
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < vectors; ++j) {
      Store(sums[i][j], c + i * c_row + j * kLanes);
    }
  }
}

template <int vectors, Into into>
inline void GemmGroup(const float* a, int64_t a_row, int64_t a_step, const float* b, int64_t b_row,
                      float* c, int64_t c_row, const float* factors, int64_t depth) {
  constexpr int rows = vectors * 2 <= kPanelVectors ? kGroup : kGroup / 2;
  for (int i = 0; i < kGroup; i += rows) {
    GemmTile<rows, vectors, into>(a + i * a_row, a_row, a_step, b, b_row, c + i * c_row, c_row,
                                  factors == nullptr ? nullptr : factors + i, depth);
  }
}

// Computes the product of GemmTile for kGroup rows and `columns` columns, a multiple of kLanes. b
// is packed in panels of kPanel columns, which begin `panel_step` elements apart; within a panel,
// the rows begin `b_row` elements apart.
template <Into into>
inline void Gemm(const float* a, int64_t a_row, int64_t a_step, const float* b, int64_t b_row,
                 int64_t panel_step, float* c, int64_t c_row, const float* factors, int64_t depth,
                 int64_t columns) {
  for (; columns > 0; columns -= kPanel, b += panel_step, c += kPanel) {
    const int64_t vectors = columns / kLanes;
    if (vectors >= kPanelVectors) {
      GemmGroup<kPanelVectors, into>(a, a_row, a_step, b, b_row, c, c_row, factors, depth);
    } else if (vectors == 1) {
      GemmGroup<1, into>(a, a_row, a_step, b, b_row, c, c_row, factors, depth);
    } else if (kPanelVectors > 2 && vectors == 2) {
      GemmGroup<kPanelVectors / 2, into>(a, a_row, a_step, b, b_row, c, c_row, factors, depth);
    } else if constexpr (kPanelVectors > 2) {
      GemmGroup<3, into>(a, a_row, a_step, b, b_row, c, c_row, factors, depth);
    }
  }
}

}  // namespace IKELOS_ISA
}  // namespace ikelos

#endif  // IKELOS_CORE_GEMM_H_
