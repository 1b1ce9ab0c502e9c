// Copies rows into the layouts that gemm.h reads fastest. Per-ISA sources only: see simd.h.
#ifndef IKELOS_CORE_PACK_H_
#define IKELOS_CORE_PACK_H_

#include "core/gemm.h"

namespace ikelos {
namespace IKELOS_ISA {

// Hands out parts of a task's memory, each aligned to a cache line. Without a start address it only
// counts.
struct Scratch {
  float* start;
  int64_t used = 0;

  float* Take(int64_t count) {
    const int64_t at = used;
    used += (count + 15) / 16 * 16;
    return start == nullptr ? nullptr : start + at;
  }
};

inline int64_t RoundUp(int64_t value, int64_t step) { return (value + step - 1) / step * step; }

// Calls f with `data` as a pointer to the stored type.
template <typename F>
inline void WithStorage(Storage storage, const void* data, const F& f) {
  switch (storage) {
    case Storage::kFloat32:
      return f(static_cast<const float*>(data));
    case Storage::kBFloat16:
      return f(static_cast<const BFloat16*>(data));
    case Storage::kFloat16:
      return f(static_cast<const Float16*>(data));
  }
}

template <typename F>
inline void WithStorage(Storage storage, void* data, const F& f) {
  switch (storage) {
    case Storage::kFloat32:
      return f(static_cast<float*>(data));
    case Storage::kBFloat16:
      return f(static_cast<BFloat16*>(data));
    case Storage::kFloat16:
      return f(static_cast<Float16*>(data));
  }
}

// LoadPart and StorePart from some element of an array in any storage on. Whole vectors of floats,
// the most frequent case, take no call.
__attribute__((noinline)) inline Floats LoadAny(Storage storage, const void* array, int64_t at,
                                                int64_t count) {
  Floats values = {};
  WithStorage(storage, array, [&](const auto* source) { values = LoadPart(source + at, count); });
  return values;
}
__attribute__((noinline)) inline void StoreAny(Storage storage, Floats values, void* array,
                                               int64_t at, int64_t count) {
  WithStorage(storage, array, [&](auto* target) { StorePart(values, target + at, count); });
}
inline Floats LoadPart(Storage storage, const void* array, int64_t at, int64_t count) {
  return storage == Storage::kFloat32 && count >= kLanes
             ? Load(static_cast<const float*>(array) + at)
             : LoadAny(storage, array, at, count);
}
inline void StorePart(Storage storage, Floats values, void* array, int64_t at, int64_t count) {
  if (storage == Storage::kFloat32 && count >= kLanes) {
    Store(values, static_cast<float*>(array) + at);
  } else {
    StoreAny(storage, values, array, at, count);
  }
}

// target[i, :] = source[i * row_stride + :] * factor as floats, with zeros to the right up to
// target_columns (a multiple of kLanes) and below up to target_rows.
template <typename T>
inline void CopyRows(const T* source, int64_t row_stride, int64_t rows, int64_t columns,
                     float factor, float* target, int64_t target_columns, int64_t target_rows) {
  for (int64_t i = 0; i < rows; ++i, source += row_stride, target += target_columns) {
    int64_t j = 0;
    for (; j + kLanes <= columns; j += kLanes) {
      Store(Load(source + j) * factor, target + j);
    }
    if (j < columns) {
      Store(LoadPart(source + j, columns - j) * factor, target + j);
    }
  }
  std::memset(target, 0,
              static_cast<size_t>((target_rows - rows) * target_columns) * sizeof(float));
}

// target[i * row_stride + :] = source[i, :] * factors[i] * factor (without factors: times `factor`
// alone). Where a factor is 0 the result is 0, whatever the source holds.
template <typename T>
inline void StoreRows(const float* source, int64_t source_columns, const float* factors,
                      float factor, T* target, int64_t row_stride, int64_t rows, int64_t columns) {
  for (int64_t i = 0; i < rows; ++i, source += source_columns, target += row_stride) {
    const float by = factors == nullptr ? factor : factors[i] * factor;
    const bool zero = factors != nullptr && by == 0;
    for (int64_t j = 0; j < columns; j += kLanes) {
      StorePart(zero ? Floats{} : Load(source + j) * by, target + j, columns - j);
    }
  }
}

// Exchanges half of the contents of two rows: one step of transposing kLanes rows of kLanes.
template <int width>
inline void ExchangeRuns(Floats* rows) {
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) {
    if (i & width) {
      continue;
    }
    const Floats upper = rows[i], lower = rows[i + width];
    rows[i] = LowRuns<width>(upper, lower);
    rows[i + width] = HighRuns<width>(upper, lower);
  }
}

inline void TransposeSquare(Floats* rows) {
  ExchangeRuns<1>(rows);
  ExchangeRuns<2>(rows);
  if constexpr (kLanes > 4) {
    ExchangeRuns<4>(rows);
  }
  if constexpr (kLanes > 8) {
    ExchangeRuns<8>(rows);
  }
}

// Turns rows [count, columns], `columns` a multiple of kLanes, into panels of kPanel rows each,
// transposed: panels[i / kPanel, j, i % kPanel] = rows[i, j] for j < depth, with zeros for i from
// count to the next multiple of kLanes. The last panel is not filled further, but there must be
// room for all of it.
inline void TransposeToPanels(const float* rows, int64_t count, int64_t columns, int64_t depth,
                              float* panels) {
  for (int64_t i = 0; i < count; i += kLanes) {
    float* target = panels + i / kPanel * kPanel * depth + i % kPanel;
    for (int64_t j = 0; j < depth; j += kLanes) {
      Floats square[kLanes];
#pragma GCC unroll 16
      for (int64_t r = 0; r < kLanes; ++r) {
        square[r] = i + r < count ? Load(rows + (i + r) * columns + j) : Floats{};
      }
      TransposeSquare(square);
      const int64_t width = depth - j < kLanes ? depth - j : kLanes;
      if (width == kLanes) {
#pragma GCC unroll 16
        for (int64_t r = 0; r < kLanes; ++r) {
          Store(square[r], target + (j + r) * kPanel);
        }
      } else {
        for (int64_t r = 0; r < width; ++r) {
          Store(square[r], target + (j + r) * kPanel);
        }
      }
    }
  }
}

}  // namespace IKELOS_ISA
}  // namespace ikelos

#endif  // IKELOS_CORE_PACK_H_
