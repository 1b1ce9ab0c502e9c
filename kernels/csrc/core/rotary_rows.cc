// Compiled once per instruction set; see simd.h for the restrictions of such files.
#include "core/rotary_rows.h"

#include "core/simd.h"
#include "core/sine_cosine.h"

namespace ikelos {
namespace IKELOS_ISA {
namespace {

// The pairs of a head, rounded up to whole vectors.
int64_t Padded(int64_t pairs) { return (pairs + kLanes - 1) / kLanes * kLanes; }

int64_t Scratch(int64_t pairs) { return 2 * Padded(pairs); }

// Writes magnitude * sine and magnitude * cosine of all angles of a position.
void FillTable(const RotaryProblem& p, int64_t step, float* sines, float* cosines) {
  const float position = static_cast<float>(p.positions[step]);
  const double magnitude = p.magnitude;
  const double sine_factor = p.is_transposed ? -magnitude : magnitude;
  for (int64_t i = 0; i < Padded(p.pairs); i += kDoubles) {
    FewFloats frequencies = {};
    const int64_t count = p.pairs - i < kDoubles ? p.pairs - i : kDoubles;
    if (count == kDoubles) {
      std::memcpy(&frequencies, p.frequencies + i, sizeof(frequencies));
    } else if (count > 0) {
      std::memcpy(&frequencies, p.frequencies + i, static_cast<size_t>(count) * sizeof(float));
    }
    const SineCosine values = SineCosineOf(position * frequencies);
    const FewFloats sine = __builtin_convertvector(values.sine * sine_factor, FewFloats);
    const FewFloats cosine = __builtin_convertvector(values.cosine * magnitude, FewFloats);
    std::memcpy(sines + i, &sine, sizeof(sine));
    std::memcpy(cosines + i, &cosine, sizeof(cosine));
  }
}

template <typename T>
void RotateHeads(const T* input, T* output, int64_t heads, int64_t pairs, const float* sines,
                 const float* cosines) {
  for (int64_t n = 0; n < heads; ++n, input += 2 * pairs, output += 2 * pairs) {
    for (int64_t i = 0; i < pairs; i += kLanes) {
      const Floats sine = Load(sines + i), cosine = Load(cosines + i);
      const Floats first = LoadPart(input + i, pairs - i);
      const Floats second = LoadPart(input + pairs + i, pairs - i);
      StorePart(first * cosine - second * sine, output + i, pairs - i);
      StorePart(second * cosine + first * sine, output + pairs + i, pairs - i);
    }
  }
}

template <typename T>
void Rotate(const RotaryProblem& p, const RotaryBlock& block, float* scratch) {
  float* const sines = scratch;
  float* const cosines = scratch + Padded(p.pairs);
  for (int64_t t = block.step_begin; t < block.step_end; ++t) {
    FillTable(p, t, sines, cosines);
    for (int64_t b = block.batch_begin; b < block.batch_end; ++b) {
      for (const RotaryArray& array : p.arrays) {
        const int64_t at = (b * p.steps + t) * array.heads * 2 * p.pairs;
        RotateHeads(static_cast<const T*>(array.input) + at, static_cast<T*>(array.output) + at,
                    array.heads, p.pairs, sines, cosines);
      }
    }
  }
}

}  // namespace

const RotaryRows kRotaryRows = {Scratch, {Rotate<float>, Rotate<BFloat16>, Rotate<Float16>}};

}  // namespace IKELOS_ISA
}  // namespace ikelos
