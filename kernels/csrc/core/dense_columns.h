// The part of dense.h that is compiled once per instruction set.
#ifndef IKELOS_CORE_DENSE_COLUMNS_H_
#define IKELOS_CORE_DENSE_COLUMNS_H_

#include <cstdint>

#include "core/dense.h"

namespace ikelos {

struct DenseColumns {
  // Floats of scratch memory that `run` needs for `columns` columns.
  int64_t (*scratch)(const DenseProblem&, int64_t columns);
  // Computes columns begin <= u < end of one output.
  void (*run)(const DenseProblem&, int64_t output, int64_t begin, int64_t end, float* scratch);
};

#define IKELOS_DECLARE_DENSE_COLUMNS(isa)  \
  namespace isa {                          \
  extern const DenseColumns kDenseColumns; \
  }
IKELOS_DECLARE_DENSE_COLUMNS(portable)
IKELOS_DECLARE_DENSE_COLUMNS(avx2)
IKELOS_DECLARE_DENSE_COLUMNS(avx512)
#undef IKELOS_DECLARE_DENSE_COLUMNS

}  // namespace ikelos

#endif  // IKELOS_CORE_DENSE_COLUMNS_H_
