// Compiled once per instruction set.
#include "tests/exp2_values.h"

#include "core/exp2.h"

namespace ikelos {
namespace IKELOS_ISA {

void Exp2Values(const float* x, float* y, int64_t count) {
  for (int64_t i = 0; i < count; i += kLanes) {
    Store(Exp2(Load(x + i)), y + i);
  }
}

}  // namespace IKELOS_ISA
}  // namespace ikelos
