// The part of SwiGLU that is compiled once per instruction set: the elements from `begin` to `end`
// on one thread.
#ifndef IKELOS_CORE_SWIGLU_ELEMENTS_H_
#define IKELOS_CORE_SWIGLU_ELEMENTS_H_

#include <cstdint>

#include "core/half.h"

namespace ikelos {

#define IKELOS_DECLARE_SWIGLU_ELEMENTS(isa)                                                      \
  namespace isa {                                                                                \
  void SwigluElements(Storage storage, const void* gate, const void* up, void* y, int64_t begin, \
                      int64_t end);                                                              \
  void SwigluGradElements(Storage storage, const void* gate, const void* up, const void* dy,     \
                          void* dgate, void* dup, int64_t begin, int64_t end);                   \
  }
IKELOS_DECLARE_SWIGLU_ELEMENTS(portable)
IKELOS_DECLARE_SWIGLU_ELEMENTS(avx2)
IKELOS_DECLARE_SWIGLU_ELEMENTS(avx512)
#undef IKELOS_DECLARE_SWIGLU_ELEMENTS

}  // namespace ikelos

#endif  // IKELOS_CORE_SWIGLU_ELEMENTS_H_
