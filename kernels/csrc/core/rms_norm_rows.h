// The part of RMS normalisation that is compiled once per instruction set: a run of rows on one
// thread.
#ifndef IKELOS_CORE_RMS_NORM_ROWS_H_
#define IKELOS_CORE_RMS_NORM_ROWS_H_

#include <cstdint>

#include "core/half.h"

namespace ikelos {

template <typename T>
struct RmsNormRows {
  void (*forward)(const T* x, const T* scale, T* y, float* rstd, int64_t rows, int64_t columns,
                  float epsilon);

  // Writes this run's share of dscale to partial_dscale [columns].
  void (*backward)(const T* x, const T* scale, const float* rstd, const T* dy, T* dx,
                   float* partial_dscale, int64_t rows, int64_t columns);

  // out[j] = sum_i partials[i, j] in the order of i, for the first `width` of `columns` columns.
  void (*sum_rows)(const float* partials, T* out, int64_t rows, int64_t columns, int64_t width);
};

#define IKELOS_DECLARE_RMS_NORM_ROWS(isa)              \
  namespace isa {                                      \
  extern const RmsNormRows<float> kRmsNormRowsFloat;   \
  extern const RmsNormRows<BFloat16> kRmsNormRowsBf16; \
  }
IKELOS_DECLARE_RMS_NORM_ROWS(portable)
IKELOS_DECLARE_RMS_NORM_ROWS(avx2)
IKELOS_DECLARE_RMS_NORM_ROWS(avx512)
#undef IKELOS_DECLARE_RMS_NORM_ROWS

}  // namespace ikelos

#endif  // IKELOS_CORE_RMS_NORM_ROWS_H_
