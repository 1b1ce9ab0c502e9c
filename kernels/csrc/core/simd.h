// Vectors of floats, as wide as the instruction set this file is compiled for.
//
// For per-ISA sources only: each is compiled several times with other flags and another IKELOS_ISA,
// so everything in it must live in namespace ikelos::IKELOS_ISA and must not instantiate templates
// of the standard library. The linker keeps one copy of an inline function, whichever it finds: an
// AVX-512 copy of, say, std::min would then run, and crash, on a machine without AVX-512.
#ifndef IKELOS_CORE_SIMD_H_
#define IKELOS_CORE_SIMD_H_

#ifdef __AVX2__
#include <immintrin.h>
#endif

#include <cstdint>
#include <cstring>

#include "core/half.h"

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
typedef int32_t Integers __attribute__((vector_size(kLanes * 4)));
typedef uint16_t HalfWords __attribute__((vector_size(kLanes * 2)));
typedef uint8_t Bytes __attribute__((vector_size(kLanes)));

template <typename To, typename From>
inline To BitCast(const From& from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof(to));
  return to;
}

// Subtracting 0 needs no instruction. Adding 0 would need one, because it changes -0.
inline Floats Broadcast(float value) { return value - Floats{}; }

inline Floats Load(const float* source) {
  Floats values;
  std::memcpy(&values, source, sizeof(values));
  return values;
}

// Intrinsics of AVX-512 have a mask of all lanes, which costs nothing: GCC 12 warns of its own
// header where they have none.

// By one instruction, since GCC 12 makes four of __builtin_convertvector.
inline Words Widen(HalfWords halves) {
#if defined(__AVX512F__)
  return BitCast<Words>(_mm512_maskz_cvtepu16_epi32(0xffff, BitCast<__m256i>(halves)));
#elif defined(__AVX2__)
  return BitCast<Words>(_mm256_cvtepu16_epi32(BitCast<__m128i>(halves)));
#else
  return __builtin_convertvector(halves, Words);
#endif
}

inline Floats Load(const BFloat16* source) {
  HalfWords halves;
  std::memcpy(&halves, source, sizeof(halves));
  const Words words = Widen(halves) << 16;
  Floats values;
  std::memcpy(&values, &words, sizeof(values));
  return values;
}

// The instruction reads subnormal numbers even if the processor is set to treat subnormal operands
// as 0, and so does the arithmetic, because it converts integers.
inline Floats Load(const Float16* source) {
  HalfWords halves;
  std::memcpy(&halves, source, sizeof(halves));
#if defined(__AVX512F__)
  return BitCast<Floats>(_mm512_maskz_cvtph_ps(0xffff, BitCast<__m256i>(halves)));
#elif defined(__AVX2__)
  return BitCast<Floats>(_mm256_cvtph_ps(BitCast<__m128i>(halves)));
#else
  const Words words = Widen(halves);
  const Words bits = (words & 0x7fff) << 13;  // exponent and mantissa where float32 has them
  const Words normal = bits + (112 << 23);
  const Words subnormal =
      BitCast<Words>(__builtin_convertvector(BitCast<Integers>(words & 0x7fff), Floats) * 0x1p-24f);
  const Words magnitude =
      bits >= 0x0f800000 ? bits | 0x7f800000 : (bits < 0x00800000 ? subnormal : normal);
  return BitCast<Floats>(magnitude | (words & 0x8000) << 16);
#endif
}

inline void Store(Floats values, float* target) { std::memcpy(target, &values, sizeof(values)); }

// Rounds to nearest, ties to even; a NaN stays one (rounding its bits could carry into infinity).
inline void Store(Floats values, BFloat16* target) {
  Words words;
  std::memcpy(&words, &values, sizeof(words));
  const Words rounded = (words + 0x7fff + ((words >> 16) & 1)) >> 16;
  const Words quiet_nan = (words >> 16) | 0x40;
  const Words result = values != values ? quiet_nan : rounded;
  const HalfWords halves = __builtin_convertvector(result, HalfWords);
  std::memcpy(target, &halves, sizeof(halves));
}

// Rounds to nearest, ties to even; numbers beyond the largest finite one become infinity. The
// instruction stores subnormal numbers even if the processor is set to flush them to 0.
inline void Store(Floats values, Float16* target) {
#if defined(__AVX512F__)
  const auto halves =
      _mm512_maskz_cvtps_ph(0xffff, BitCast<__m512>(values), _MM_FROUND_TO_NEAREST_INT);
#elif defined(__AVX2__)
  const auto halves = _mm256_cvtps_ph(BitCast<__m256>(values), _MM_FROUND_TO_NEAREST_INT);
#else
  const Words words = BitCast<Words>(values);
  const Words magnitude = words & 0x7fffffff;
  const Words normal = ((magnitude + 0xfff + ((magnitude >> 13) & 1)) >> 13) - (112 << 10);
  // Adding 1/2 leaves room for steps of 2^-24, those of the subnormal numbers.
  const Words subnormal = BitCast<Words>(BitCast<Floats>(magnitude) + 0.5f) - 0x3f000000;
  const Words finite = magnitude < 0x38800000 ? subnormal : normal;
  const Words rounded = magnitude >= 0x477ff000 ? Words{} + 0x7c00 : finite;
  const Words result = magnitude > 0x7f800000 ? Words{} + 0x7e00 : rounded;
  const HalfWords halves = __builtin_convertvector(result | ((words >> 16) & 0x8000), HalfWords);
#endif
  std::memcpy(target, &halves, sizeof(halves));
}

// The first `count` elements, followed by 0.
template <typename T>
inline Floats LoadPart(const T* source, int64_t count) {
  if (count >= kLanes) {
    return Load(source);
  }
  T elements[kLanes] = {};
  std::memcpy(elements, source, static_cast<size_t>(count) * sizeof(T));
  return Load(elements);
}

template <typename T>
inline void StorePart(Floats values, T* target, int64_t count) {
  if (count >= kLanes) {
    return Store(values, target);
  }
  T elements[kLanes];
  Store(values, elements);
  std::memcpy(target, elements, static_cast<size_t>(count) * sizeof(T));
}

// The same for one value, for the rest of a row.
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

// The lanes of two vectors that `lanes` names, counted through both.
inline Floats Shuffle(Floats upper, Floats lower, Integers lanes) {
#ifdef __clang__  // lacks GCC's __builtin_shuffle; the loop takes a few more instructions
  Floats shuffled;
  for (int i = 0; i < kLanes; ++i) {
    shuffled[i] = lanes[i] < kLanes ? upper[lanes[i]] : lower[lanes[i] - kLanes];
  }
  return shuffled;
#else
  return __builtin_shuffle(upper, lower, lanes);
#endif
}

// Interleaves two rows in runs of `width` lanes: first those whose lane index lacks the bit
// `width`, of the upper row and the lower, then those whose index has it.
template <int width>
inline Floats LowRuns(Floats upper, Floats lower) {
  Integers lanes;
  for (int i = 0; i < kLanes; ++i) {
    lanes[i] = i & width ? kLanes + i - width : i;
  }
  return Shuffle(upper, lower, lanes);
}
template <int width>
inline Floats HighRuns(Floats upper, Floats lower) {
  Integers lanes;
  for (int i = 0; i < kLanes; ++i) {
    lanes[i] = i & width ? kLanes + i : i + width;
  }
  return Shuffle(upper, lower, lanes);
}

// Swaps neighbouring runs of `width` lanes.
template <int width>
inline Floats SwapRuns(Floats values) {
  Integers lanes;
  for (int i = 0; i < kLanes; ++i) {
    lanes[i] = i ^ width;
  }
  return Shuffle(values, values, lanes);
}

// Adds the lanes by halves: log2(lanes) roundings instead of one per lane.
inline float Sum(Floats values) {
  if constexpr (kLanes > 8) {
    values += SwapRuns<8>(values);
  }
  if constexpr (kLanes > 4) {
    values += SwapRuns<4>(values);
  }
  values += SwapRuns<2>(values);
  values += SwapRuns<1>(values);
  return values[0];
}

inline Floats Max(Floats a, Floats b) { return a > b ? a : b; }

inline float Max(Floats values) {
  if constexpr (kLanes > 8) {
    values = Max(values, SwapRuns<8>(values));
  }
  if constexpr (kLanes > 4) {
    values = Max(values, SwapRuns<4>(values));
  }
  values = Max(values, SwapRuns<2>(values));
  values = Max(values, SwapRuns<1>(values));
  return values[0];
}

}  // namespace IKELOS_ISA
}  // namespace ikelos

#endif  // IKELOS_CORE_SIMD_H_
