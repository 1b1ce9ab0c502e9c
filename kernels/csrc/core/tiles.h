// Splits rows into tiles whose sums fit into registers. Per-ISA sources only: see simd.h.
#ifndef IKELOS_CORE_TILES_H_
#define IKELOS_CORE_TILES_H_

#include "core/gemm.h"

namespace ikelos {
namespace IKELOS_ISA {

// Rows of a tile of this many vectors: with AVX-512, 24 of 32 registers hold sums, else 12 of 16.
template <int vectors>
constexpr int kTileRows = vectors == 1 ? kGroup : kGroup * kPanelVectors / 2 / vectors;

template <int n>
struct Count {
  static constexpr int value = n;
};

// Calls f(Count<rows>, first) for `rows` of 1 to most.
template <int most, typename F>
inline void WithCount(int64_t rows, int64_t first, const F& f) {
  if (rows == most) {
    f(Count<most>{}, first);
  } else if constexpr (most > 1) {
    WithCount<most - 1>(rows, first, f);
  }
}

// The same for first <= row < last, in tiles of about equal size: where reading the panel takes the
// time, a small last tile would cost as much as a full one.
template <int most, typename F>
inline void ForTiles(int64_t first, int64_t last, const F& f) {
  const int64_t count = last - first, tiles = (count + most - 1) / most;
  for (int64_t i = 0; i < tiles; ++i) {
    const int64_t begin = count * i / tiles;
    WithCount<most>(count * (i + 1) / tiles - begin, first + begin, f);
  }
}

}  // namespace IKELOS_ISA
}  // namespace ikelos

#endif  // IKELOS_CORE_TILES_H_
