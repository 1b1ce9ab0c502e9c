// IkelosDense and IkelosGatedDense as ops for the templates that arguments.h names.
#ifndef IKELOS_TENSORFLOW_DENSE_ARGUMENTS_H_
#define IKELOS_TENSORFLOW_DENSE_ARGUMENTS_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "core/dense.h"
#include "core/parallel.h"
#include "tensorflow/arguments.h"
#include "tensorflow/names.h"

namespace ikelos {

struct DenseAttributes {
  int64_t counts[2] = {1, 0};  // of the second and third kernel
};

struct DenseArguments : Arguments {
  DenseAttributes attributes;
};

template <bool kIsGated>
struct DenseOp {
  using Attributes = DenseAttributes;
  using Arguments = DenseArguments;
  static constexpr const char* kTarget = kIsGated ? kGatedDenseTarget : kDenseTarget;

  // With a gate there are always two kernels.
  template <typename AnyAttributes, typename Visit>
  static void ForEachAttribute(AnyAttributes& attributes, Visit visit) {
    if constexpr (!kIsGated) {
      visit("num_kernel_1", attributes.counts[0]);
      visit("num_kernel_2", attributes.counts[1]);
    }
  }

  static absl::Status CheckAttributes(const Attributes& attributes);
  static absl::Status ReadArguments(const Attributes& attributes, Storage storage,
                                    const std::vector<InputArray>& inputs, Arguments* arguments);
  static absl::Status CheckValues(const Arguments&) { return absl::OkStatus(); }
  static std::vector<Result> Results(const Arguments& arguments);
  static int64_t Scratch(const Arguments&) { return 0; }
  static void Run(const Arguments& arguments, const std::vector<void*>& results, float* scratch,
                  const ParallelFor& parallel_for);
};

}  // namespace ikelos

#endif  // IKELOS_TENSORFLOW_DENSE_ARGUMENTS_H_
