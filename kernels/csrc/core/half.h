// The types in which arrays are stored.
#ifndef IKELOS_CORE_HALF_H_
#define IKELOS_CORE_HALF_H_

#include <cstdint>

namespace ikelos {

// The upper half of a float32.
struct BFloat16 {
  uint16_t bits;
};

// IEEE 754 binary16: 5 bits of exponent, 10 of mantissa.
struct Float16 {
  uint16_t bits;
};

// How the elements of an array are stored.
enum class Storage { kFloat32, kBFloat16, kFloat16 };

inline int64_t ElementBytes(Storage storage) { return storage == Storage::kFloat32 ? 4 : 2; }

}  // namespace ikelos

#endif  // IKELOS_CORE_HALF_H_
