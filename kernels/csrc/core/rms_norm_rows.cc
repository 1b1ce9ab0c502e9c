// Compiled once per instruction set; see simd.h for the restrictions of such files.
#include "core/rms_norm_rows.h"

#include "core/simd.h"

namespace ikelos {
namespace IKELOS_ISA {
namespace {

// Four sums side by side hide the latency of the multiply-add and shorten each chain of roundings.
constexpr int kSums = 4;

template <typename T>
float SumOfSquares(const T* x, int64_t columns) {
  Floats sums[kSums] = {};
  int64_t j = 0;
  for (; j + kSums * kLanes <= columns; j += kSums * kLanes) {
    for (int k = 0; k < kSums; ++k) {
      const Floats value = Load(x + j + k * kLanes);
      sums[k] += value * value;
    }
  }
  for (; j + kLanes <= columns; j += kLanes) {
    const Floats value = Load(x + j);
    sums[0] += value * value;
  }
  float rest = 0.0f;
  for (; j < columns; ++j) {
    const float value = LoadOne(x + j);
    rest += value * value;
  }
  return Sum((sums[0] + sums[1]) + (sums[2] + sums[3])) + rest;
}

template <typename T>
float SumOfProducts(const T* dy, const T* scale, const T* x, int64_t columns) {
  Floats sums[kSums] = {};
  int64_t j = 0;
  for (; j + kSums * kLanes <= columns; j += kSums * kLanes) {
    for (int k = 0; k < kSums; ++k) {
      const int64_t at = j + k * kLanes;
      sums[k] += Load(dy + at) * Load(scale + at) * Load(x + at);
    }
  }
  for (; j + kLanes <= columns; j += kLanes) {
    sums[0] += Load(dy + j) * Load(scale + j) * Load(x + j);
  }
  float rest = 0.0f;
  for (; j < columns; ++j) {
    rest += LoadOne(dy + j) * LoadOne(scale + j) * LoadOne(x + j);
  }
  return Sum((sums[0] + sums[1]) + (sums[2] + sums[3])) + rest;
}

template <typename T>
void Forward(const T* x, const T* scale, T* y, float* rstd, int64_t rows, int64_t columns,
             float epsilon) {
  for (int64_t i = 0; i < rows; ++i, x += columns, y += columns) {
    const float mean = SumOfSquares(x, columns) / static_cast<float>(columns);
    const float factor = 1.0f / __builtin_sqrtf(mean + epsilon);
    rstd[i] = factor;
    const Floats factors = Broadcast(factor);
    int64_t j = 0;
    for (; j + kLanes <= columns; j += kLanes) {
      Store(Load(x + j) * factors * Load(scale + j), y + j);
    }
    for (; j < columns; ++j) {
      StoreOne(LoadOne(x + j) * factor * LoadOne(scale + j), y + j);
    }
  }
}

template <typename T>
void Backward(const T* x, const T* scale, const float* rstd, const T* dy, T* dx,
              float* partial_dscale, int64_t rows, int64_t columns) {
  std::memset(partial_dscale, 0, static_cast<size_t>(columns) * sizeof(float));
  for (int64_t i = 0; i < rows; ++i, x += columns, dy += columns, dx += columns) {
    const float factor = rstd[i];
    const float mean = SumOfProducts(dy, scale, x, columns) * factor / static_cast<float>(columns);
    const Floats factors = Broadcast(factor);
    const Floats means = Broadcast(mean);
    int64_t j = 0;
    for (; j + kLanes <= columns; j += kLanes) {
      const Floats normal = Load(x + j) * factors;
      const Floats gradient = Load(dy + j);
      Store((gradient * Load(scale + j) - normal * means) * factors, dx + j);
      Store(Load(partial_dscale + j) + gradient * normal, partial_dscale + j);
    }
    for (; j < columns; ++j) {
      const float normal = LoadOne(x + j) * factor;
      const float gradient = LoadOne(dy + j);
      StoreOne((gradient * LoadOne(scale + j) - normal * mean) * factor, dx + j);
      partial_dscale[j] += gradient * normal;
    }
  }
}

template <typename T>
void SumRows(const float* partials, T* out, int64_t rows, int64_t columns, int64_t width) {
  int64_t j = 0;
  for (; j + kLanes <= width; j += kLanes) {
    Floats sum = {};
    for (int64_t i = 0; i < rows; ++i) {
      sum += Load(partials + i * columns + j);
    }
    Store(sum, out + j);
  }
  for (; j < width; ++j) {
    float sum = 0.0f;
    for (int64_t i = 0; i < rows; ++i) {
      sum += partials[i * columns + j];
    }
    StoreOne(sum, out + j);
  }
}

}  // namespace

const RmsNormRows<float> kRmsNormRowsFloat = {Forward<float>, Backward<float>, SumRows<float>};
const RmsNormRows<BFloat16> kRmsNormRowsBf16 = {Forward<BFloat16>, Backward<BFloat16>,
                                                SumRows<BFloat16>};

}  // namespace IKELOS_ISA
}  // namespace ikelos
