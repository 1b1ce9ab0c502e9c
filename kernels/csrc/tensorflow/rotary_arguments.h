// IkelosRotary as an op for the templates that arguments.h names.
#ifndef IKELOS_TENSORFLOW_ROTARY_ARGUMENTS_H_
#define IKELOS_TENSORFLOW_ROTARY_ARGUMENTS_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "core/parallel.h"
#include "tensorflow/arguments.h"
#include "tensorflow/names.h"

namespace ikelos {

struct RotaryAttributes {
  int64_t num_key;
  float magnitude;
  bool transposed;
};

struct RotaryArguments : Arguments {
  RotaryAttributes attributes;
};

struct RotaryOp {
  using Attributes = RotaryAttributes;
  using Arguments = RotaryArguments;
  static constexpr const char* kTarget = kRotaryTarget;

  template <typename AnyAttributes, typename Visit>
  static void ForEachAttribute(AnyAttributes& attributes, Visit visit) {
    visit("num_key", attributes.num_key);
    visit("magnitude", attributes.magnitude);
    visit("transposed", attributes.transposed);
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

#endif  // IKELOS_TENSORFLOW_ROTARY_ARGUMENTS_H_
