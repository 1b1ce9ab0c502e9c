// Compiled once per instruction set; see simd.h for the restrictions of such files.
#include "core/swiglu_elements.h"

#include "core/activations.h"
#include "core/pack.h"
#include "core/simd.h"

namespace ikelos {
namespace IKELOS_ISA {
namespace {

// Another array with elements of the same type.
template <typename T>
const T* Like(const T*, const void* array) {
  return static_cast<const T*>(array);
}
template <typename T>
T* Like(const T*, void* array) {
  return static_cast<T*>(array);
}

template <typename T>
void Forward(const T* gate, const T* up, T* y, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; i += kLanes) {
    const Floats g = LoadPart(gate + i, end - i);
    StorePart(g * Sigmoid(g) * LoadPart(up + i, end - i), y + i, end - i);
  }
}

template <typename T>
void Backward(const T* gate, const T* up, const T* dy, T* dgate, T* dup, int64_t begin,
              int64_t end) {
  for (int64_t i = begin; i < end; i += kLanes) {
    const Floats g = LoadPart(gate + i, end - i);
    const Floats u = LoadPart(up + i, end - i);
    const Floats d = LoadPart(dy + i, end - i);
    const Floats s = Sigmoid(g);
    StorePart(d * u * (s + g * s * (1.0f - s)), dgate + i, end - i);
    StorePart(d * (g * s), dup + i, end - i);
  }
}

}  // namespace

void SwigluElements(Storage storage, const void* gate, const void* up, void* y, int64_t begin,
                    int64_t end) {
  WithStorage(storage, gate,
              [&](const auto* g) { Forward(g, Like(g, up), Like(g, y), begin, end); });
}

void SwigluGradElements(Storage storage, const void* gate, const void* up, const void* dy,
                        void* dgate, void* dup, int64_t begin, int64_t end) {
  WithStorage(storage, gate, [&](const auto* g) {
    Backward(g, Like(g, up), Like(g, dy), Like(g, dgate), Like(g, dup), begin, end);
  });
}

}  // namespace IKELOS_ISA
}  // namespace ikelos
