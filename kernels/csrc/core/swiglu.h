// The gated activation of a SwiGLU network (Shazeer, 2020, https://arxiv.org/abs/2002.05202):
//
//   y[i] = gate[i] * sigmoid(gate[i]) * up[i]
//
// The arithmetic is in float32 for every storage, rounded once at the end. The results don't depend
// on parallel_for. Outputs may not overlap inputs.
#ifndef IKELOS_CORE_SWIGLU_H_
#define IKELOS_CORE_SWIGLU_H_

#include <cstdint>

#include "core/half.h"
#include "core/isa.h"
#include "core/parallel.h"

namespace ikelos {

void Swiglu(Storage storage, const void* gate, const void* up, void* y, int64_t count, Isa isa,
            const ParallelFor& parallel_for);

// Given dy, with s = sigmoid(gate):
//   dgate[i] = dy[i] * up[i] * s[i] * (1 + gate[i] * (1 - s[i]))
//   dup[i]   = dy[i] * gate[i] * s[i]
void SwigluGrad(Storage storage, const void* gate, const void* up, const void* dy, void* dgate,
                void* dup, int64_t count, Isa isa, const ParallelFor& parallel_for);

}  // namespace ikelos

#endif  // IKELOS_CORE_SWIGLU_H_
