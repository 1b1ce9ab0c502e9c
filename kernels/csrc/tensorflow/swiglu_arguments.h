// IkelosSwiglu and IkelosSwigluGrad as ops for the templates that arguments.h names.
#ifndef IKELOS_TENSORFLOW_SWIGLU_ARGUMENTS_H_
#define IKELOS_TENSORFLOW_SWIGLU_ARGUMENTS_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "core/parallel.h"
#include "tensorflow/arguments.h"
#include "tensorflow/names.h"

namespace ikelos {

template <bool kIsGradient>
struct SwigluOp {
  struct Attributes {};
  using Arguments = ::ikelos::Arguments;
  static constexpr const char* kTarget = kIsGradient ? kSwigluGradTarget : kSwigluTarget;

  template <typename AnyAttributes, typename Visit>
  static void ForEachAttribute(AnyAttributes&, Visit) {}

  static absl::Status CheckAttributes(const Attributes&) { return absl::OkStatus(); }
  static absl::Status ReadArguments(const Attributes& attributes, Storage storage,
                                    const std::vector<InputArray>& inputs, Arguments* arguments);
  static absl::Status CheckValues(const Arguments&) { return absl::OkStatus(); }
  static std::vector<Result> Results(const Arguments& arguments);
  static int64_t Scratch(const Arguments&) { return 0; }
  static void Run(const Arguments& arguments, const std::vector<void*>& results, float* scratch,
                  const ParallelFor& parallel_for);
};

}  // namespace ikelos

#endif  // IKELOS_TENSORFLOW_SWIGLU_ARGUMENTS_H_
