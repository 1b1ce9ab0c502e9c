// Vectors of floats, as wide as the instruction set this file is compiled for.
//
// For per-ISA sources only: each is compiled several times with other flags and another IKELOS_ISA,
// so everything in it must live in namespace ikelos::IKELOS_ISA and must not instantiate templates
// of the standard library. The linker keeps one copy of an inline function, whichever it finds: an
// AVX-512 copy of, say, std::min would then run, and crash, on a machine without AVX-512.
#ifndef IKELOS_CORE_SIMD_H_
#define IKELOS_CORE_SIMD_H_

#include <cstdint>
#include <cstring>

#include "core/bfloat16.h"

namespace ikelos {
namespace IKELOS_ISA {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif

typedef float Floats __attribute__((vector_size(kLanes * 4)));
typedef uint32_t Words __attribute__((vector_size(kLanes * 4)));
typedef uint16_t HalfWords __attribute__((vector_size(kLanes * 2)));

inline Floats Broadcast(float value) { return Floats{} + value; }

inline Floats Load(const float* source) {
  Floats values;
  std::memcpy(&values, source, sizeof(values));
  return values;
}

inline Floats Load(const BFloat16* source) {
  HalfWords halves;
  std::memcpy(&halves, source, sizeof(halves));
  const Words words = __builtin_convertvector(halves, Words) << 16;
  Floats values;
  std::memcpy(&values, &words, sizeof(values));
  return values;
}

inline void Store(Floats values, float* target) { std::memcpy(target, &values, sizeof(values)); }

// Rounds to nearest, ties to even; a NaN stays one (rounding its bits could carry into infinity).
inline void Store(Floats values, BFloat16* target) {
  Words words;
  std::memcpy(&words, &values, sizeof(words));
  const Words rounded = (words + 0x7fff + ((words >> 16) & 1)) >> 16;
  const Words quiet_nan = (words >> 16) | 0x40;
  const Words result = (words & 0x7fffffff) > 0x7f800000 ? quiet_nan : rounded;
  const HalfWords halves = __builtin_convertvector(result, HalfWords);
  std::memcpy(target, &halves, sizeof(halves));
}

// The same for one value, for what is left at the end of a row.
inline float LoadOne(const float* source) { return *source; }
inline float LoadOne(const BFloat16* source) {
  const uint32_t word = static_cast<uint32_t>(source->bits) << 16;
  float value;
  std::memcpy(&value, &word, sizeof(value));
  return value;
}

inline void StoreOne(float value, float* target) { *target = value; }
inline void StoreOne(float value, BFloat16* target) {
  uint32_t word;
  std::memcpy(&word, &value, sizeof(word));
  const bool is_nan = (word & 0x7fffffff) > 0x7f800000;
  const uint32_t rounded = (word + 0x7fff + ((word >> 16) & 1)) >> 16;
  target->bits = static_cast<uint16_t>(is_nan ? (word >> 16) | 0x40 : rounded);
}

// Adds the lanes by halves: log2(lanes) roundings instead of one per lane.
inline float Sum(Floats values) {
  float lanes[kLanes];
  std::memcpy(lanes, &values, sizeof(lanes));
  for (int width = kLanes / 2; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) lanes[i] += lanes[i + width];
  }
  return lanes[0];
}

}  // namespace IKELOS_ISA
}  // namespace ikelos

#endif  // IKELOS_CORE_SIMD_H_
