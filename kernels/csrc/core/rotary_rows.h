// The part of rotary positions that is compiled once per instruction set: a block of positions on
// one thread.
#ifndef IKELOS_CORE_ROTARY_ROWS_H_
#define IKELOS_CORE_ROTARY_ROWS_H_

#include <cstdint>

#include "core/rotary.h"

namespace ikelos {

// begin <= b < end and begin <= t < end.
struct RotaryBlock {
  int64_t batch_begin, batch_end;
  int64_t step_begin, step_end;
};

struct RotaryRows {
  // Floats of scratch memory that a block needs.
  int64_t (*scratch)(int64_t pairs);
  // By storage. The positions are [T].
  void (*rotate[3])(const RotaryProblem& problem, const RotaryBlock& block, float* scratch);
};

#define IKELOS_DECLARE_ROTARY_ROWS(isa) \
  namespace isa {                       \
  extern const RotaryRows kRotaryRows;  \
  }
IKELOS_DECLARE_ROTARY_ROWS(portable)
IKELOS_DECLARE_ROTARY_ROWS(avx2)
IKELOS_DECLARE_ROTARY_ROWS(avx512)
#undef IKELOS_DECLARE_ROTARY_ROWS

}  // namespace ikelos

#endif  // IKELOS_CORE_ROTARY_ROWS_H_
