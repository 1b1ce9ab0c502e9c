// Root mean square normalisation over the last axis (Zhang and Sennrich, 2019,
// https://arxiv.org/abs/1910.07467).
//
//   rstd[i] = 1 / sqrt(mean_j x[i, j]^2 + epsilon)
//   y[i, j] = x[i, j] * rstd[i] * scale[j]
//
// T is float or BFloat16; the arithmetic is in float32 for both, rounded once at the end. Arrays
// are dense, row-major, [rows, columns] or [columns] or [rows]; outputs may not overlap inputs. The
// results don't depend on parallel_for.
#ifndef IKELOS_CORE_RMS_NORM_H_
#define IKELOS_CORE_RMS_NORM_H_

#include <cstdint>

#include "core/half.h"
#include "core/isa.h"
#include "core/parallel.h"

namespace ikelos {

template <typename T>
void RmsNorm(const T* x, const T* scale, T* y, float* rstd, int64_t rows, int64_t columns,
             float epsilon, Isa isa, const ParallelFor& parallel_for);

// Floats of scratch memory that RmsNormGrad needs.
int64_t RmsNormGradScratch(int64_t rows, int64_t columns);

// Given dy and the rstd that RmsNorm returned:
//   dx[i, j]  = rstd[i] * (g[i, j] - n[i, j] * mean_k g[i, k] n[i, k])
//   dscale[j] = sum_i dy[i, j] n[i, j]
// with n = x * rstd and g = dy * scale.
template <typename T>
void RmsNormGrad(const T* x, const T* scale, const float* rstd, const T* dy, T* dx, T* dscale,
                 float* scratch, int64_t rows, int64_t columns, Isa isa,
                 const ParallelFor& parallel_for);

}  // namespace ikelos

#endif  // IKELOS_CORE_RMS_NORM_H_
