// bfloat16 as stored: the upper half of a float32.
#ifndef IKELOS_CORE_BFLOAT16_H_
#define IKELOS_CORE_BFLOAT16_H_

#include <cstdint>

namespace ikelos {

struct BFloat16 {
  uint16_t bits;
};

}  // namespace ikelos

#endif  // IKELOS_CORE_BFLOAT16_H_
