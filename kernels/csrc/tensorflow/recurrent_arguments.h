// IkelosLstm, IkelosGru and their gradients as ops for the templates that arguments.h names.
#ifndef IKELOS_TENSORFLOW_RECURRENT_ARGUMENTS_H_
#define IKELOS_TENSORFLOW_RECURRENT_ARGUMENTS_H_

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <vector>

#include "absl/status/status.h"
#include "core/parallel.h"
#include "core/recurrent.h"
#include "tensorflow/arguments.h"
#include "tensorflow/names.h"

namespace ikelos {

// The optional inputs, in order.
inline constexpr const char* kRecurrentCounts[] = {"num_bias", "num_sequence_lengths", "num_mask",
                                                   "num_recurrent_dropout_mask"};

struct RecurrentAttributes {
  int64_t counts[std::size(kRecurrentCounts)];
  int64_t num_layer_norm;
  bool go_backwards;
  bool zero_output_for_mask;
  bool save_for_gradient = false;  // the gradient has no such attribute
  bool reset_after = false;        // for the GRU only
  float epsilon;
};

struct RecurrentArguments : Arguments {
  RecurrentAttributes attributes;
  RecurrentCell cell;
};

template <bool kIsLstm, bool kIsGradient>
struct RecurrentOp {
  using Attributes = RecurrentAttributes;
  using Arguments = RecurrentArguments;
  static constexpr const char* kTarget = kIsLstm ? (kIsGradient ? kLstmGradTarget : kLstmTarget)
                                                 : (kIsGradient ? kGruGradTarget : kGruTarget);

  template <typename AnyAttributes, typename Visit>
  static void ForEachAttribute(AnyAttributes& attributes, Visit visit) {
    for (size_t i = 0; i < std::size(kRecurrentCounts); ++i) {
      visit(kRecurrentCounts[i], attributes.counts[i]);
    }
    visit("num_layer_norm", attributes.num_layer_norm);
    visit("go_backwards", attributes.go_backwards);
    visit("zero_output_for_mask", attributes.zero_output_for_mask);
    if constexpr (!kIsGradient) {
      visit("save_for_gradient", attributes.save_for_gradient);
    }
    if constexpr (!kIsLstm) {
      visit("reset_after", attributes.reset_after);
    }
    visit("epsilon", attributes.epsilon);
  }

  static absl::Status CheckAttributes(const Attributes& attributes);
  static absl::Status ReadArguments(const Attributes& attributes, Storage storage,
                                    const std::vector<InputArray>& inputs, Arguments* arguments);
  static absl::Status CheckValues(const Arguments& arguments);
  static std::vector<Result> Results(const Arguments& arguments);
  static int64_t Scratch(const Arguments& arguments);
  static void Run(const Arguments& arguments, const std::vector<void*>& results, float* scratch,
                  const ParallelFor& parallel_for);
};

using GruOp = RecurrentOp<false, false>;
using GruGradOp = RecurrentOp<false, true>;
using LstmOp = RecurrentOp<true, false>;
using LstmGradOp = RecurrentOp<true, true>;

// For kernels that keep packed weights from call to call: the inputs that the weights are packed
// from, and the forward ops' call of the core without packing, with the scratch memory that the
// core needs.
std::vector<int> WeightInputs(const RecurrentArguments& arguments);
RecurrentProblem ProblemOf(const RecurrentArguments& arguments);
void RunPacked(const RecurrentArguments& arguments, const RecurrentProblem& problem,
               const float* packed, const std::vector<void*>& results, float* scratch,
               const ParallelFor& parallel_for);

}  // namespace ikelos

#endif  // IKELOS_TENSORFLOW_RECURRENT_ARGUMENTS_H_
