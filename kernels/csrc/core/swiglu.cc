#include "core/swiglu.h"

#include <algorithm>

#include "core/swiglu_elements.h"

namespace ikelos {
namespace {

// Elements per task: some microseconds of work, so that waking a thread pays. A multiple of every
// vector, so that only the last task has a part of one.
constexpr int64_t kTaskElements = 16384;

}  // namespace

void Swiglu(Storage storage, const void* gate, const void* up, void* y, int64_t count, Isa isa,
            const ParallelFor& parallel_for) {
  const auto forward = IKELOS_PICK(isa, SwigluElements);
  parallel_for(CeilDiv(count, kTaskElements), [&](int64_t task) {
    const int64_t begin = task * kTaskElements;
    forward(storage, gate, up, y, begin, std::min(count, begin + kTaskElements));
  });
}

void SwigluGrad(Storage storage, const void* gate, const void* up, const void* dy, void* dgate,
                void* dup, int64_t count, Isa isa, const ParallelFor& parallel_for) {
  const auto backward = IKELOS_PICK(isa, SwigluGradElements);
  parallel_for(CeilDiv(count, kTaskElements), [&](int64_t task) {
    const int64_t begin = task * kTaskElements;
    backward(storage, gate, up, dy, dgate, dup, begin, std::min(count, begin + kTaskElements));
  });
}

}  // namespace ikelos
