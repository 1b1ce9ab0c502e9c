#include "core/rms_norm.h"

#include <algorithm>

#include "core/rms_norm_rows.h"

namespace ikelos {
namespace {

// Elements per task: some microseconds of work, so that waking a thread pays. Rows are split among
// tasks only if there are enough elements.
constexpr int64_t kTaskElements = 16384;

// The gradient keeps one partial dscale per task, so their number is bounded whatever the number of
// rows.
constexpr int64_t kMaxGradTasks = 128;

int64_t RowsPerTask(int64_t columns) {
  return std::max<int64_t>(1, kTaskElements / std::max<int64_t>(1, columns));
}

int64_t GradRowsPerTask(int64_t rows, int64_t columns) {
  return std::max(RowsPerTask(columns), CeilDiv(rows, kMaxGradTasks));
}

template <typename T>
const RmsNormRows<T>& Pick(Isa isa);

template <>
const RmsNormRows<float>& Pick(Isa isa) {
  return IKELOS_PICK(isa, kRmsNormRowsFloat);
}

template <>
const RmsNormRows<BFloat16>& Pick(Isa isa) {
  return IKELOS_PICK(isa, kRmsNormRowsBf16);
}

}  // namespace

template <typename T>
void RmsNorm(const T* x, const T* scale, T* y, float* rstd, int64_t rows, int64_t columns,
             float epsilon, Isa isa, const ParallelFor& parallel_for) {
  const RmsNormRows<T>& kernel = Pick<T>(isa);
  const int64_t step = RowsPerTask(columns);
  parallel_for(CeilDiv(rows, step), [&](int64_t task) {
    const int64_t begin = task * step;
    const int64_t count = std::min(step, rows - begin);
    kernel.forward(x + begin * columns, scale, y + begin * columns, rstd + begin, count, columns,
                   epsilon);
  });
}

int64_t RmsNormGradScratch(int64_t rows, int64_t columns) {
  return CeilDiv(rows, GradRowsPerTask(rows, columns)) * columns;
}

template <typename T>
void RmsNormGrad(const T* x, const T* scale, const float* rstd, const T* dy, T* dx, T* dscale,
                 float* scratch, int64_t rows, int64_t columns, Isa isa,
                 const ParallelFor& parallel_for) {
  const RmsNormRows<T>& kernel = Pick<T>(isa);
  const int64_t step = GradRowsPerTask(rows, columns);
  const int64_t tasks = CeilDiv(rows, step);
  parallel_for(tasks, [&](int64_t task) {
    const int64_t begin = task * step;
    const int64_t count = std::min(step, rows - begin);
    kernel.backward(x + begin * columns, scale, rstd + begin, dy + begin * columns,
                    dx + begin * columns, scratch + task * columns, count, columns);
  });
  // Each column is summed in the order of the tasks, whichever thread does it.
  const int64_t width = std::max<int64_t>(64, kTaskElements / std::max<int64_t>(1, tasks));
  parallel_for(CeilDiv(columns, width), [&](int64_t task) {
    const int64_t begin = task * width;
    kernel.sum_rows(scratch + begin, dscale + begin, tasks, columns,
                    std::min(width, columns - begin));
  });
}

template void RmsNorm<float>(const float*, const float*, float*, float*, int64_t, int64_t, float,
                             Isa, const ParallelFor&);
template void RmsNorm<BFloat16>(const BFloat16*, const BFloat16*, BFloat16*, float*, int64_t,
                                int64_t, float, Isa, const ParallelFor&);
template void RmsNormGrad<float>(const float*, const float*, const float*, const float*, float*,
                                 float*, float*, int64_t, int64_t, Isa, const ParallelFor&);
template void RmsNormGrad<BFloat16>(const BFloat16*, const BFloat16*, const float*, const BFloat16*,
                                    BFloat16*, BFloat16*, float*, int64_t, int64_t, Isa,
                                    const ParallelFor&);

}  // namespace ikelos
