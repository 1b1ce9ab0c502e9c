#include "tensorflow/recurrent_arguments.h"

#include <cmath>
#include <string_view>

namespace ikelos {
namespace {

// The rows of the tables, in the order of the ops' inputs.
enum RecurrentInput {
  kInputs,
  kKernel,
  kRecurrentKernel,
  kInitialHidden,
  kInitialCell,  // only for the LSTM, as everything else of the cell state
  kBias,         // the first optional input
  kLengths,
  kMask,
  kDropoutMask,  // the last optional input
  kKernelScale,  // from here to kCellOffset: layer_norm
  kRecurrentScale,
  kCellScale,
  kCellOffset,
  kOutputs,  // from here on: only for the gradient
  kSaved,
  kOutputsGrad,
  kHiddenGrad,
  kCellGrad,
  kRecurrentInputs
};
static_assert(kDropoutMask - kBias + 1 == std::size(kRecurrentCounts));

struct Table {
  Input inputs[kRecurrentInputs];
};

// S is the number of floats that RecurrentSaved counts.
constexpr Table TableOf(std::string_view inputs_to_gates, std::string_view units_to_gates,
                        std::string_view gates, std::string_view bias,
                        std::string_view gates_by_unit) {
  return {{
      {"inputs", "B T D", Elements::kStored},
      {"kernel", inputs_to_gates, Elements::kStored},
      {"recurrent_kernel", units_to_gates, Elements::kStored},
      {"initial_hidden", "B U", Elements::kStored},
      {"initial_cell", "B U", Elements::kStored},
      {"bias", bias, Elements::kStored},
      {"sequence_lengths", "B", Elements::kInt32},
      {"mask", "B T", Elements::kBool},
      {"recurrent_dropout_mask", gates_by_unit, Elements::kStored},
      {"layer_norm.kernel_scale", gates, Elements::kStored},
      {"layer_norm.recurrent_scale", gates, Elements::kStored},
      {"layer_norm.cell_scale", "U", Elements::kStored},
      {"layer_norm.cell_offset", "U", Elements::kStored},
      {"outputs", "B T U", Elements::kStored},
      {"saved", "S", Elements::kFloat32},
      {"outputs_grad", "B T U", Elements::kStored},
      {"hidden_grad", "B U", Elements::kStored},
      {"cell_grad", "B U", Elements::kStored},
  }};
}
constexpr Table kLstmTable = TableOf("D 4U", "U 4U", "4U", "4U", "B 4 U");
constexpr Table kGruTable = TableOf("D 3U", "U 3U", "3U", "3U", "B 3 U");
constexpr Table kGruResetAfterTable = TableOf("D 3U", "U 3U", "3U", "2 3U", "B 3 U");

const Table& TableOf(RecurrentCell cell) {
  switch (cell) {
    case RecurrentCell::kLstm:
      return kLstmTable;
    case RecurrentCell::kGru:
      return kGruTable;
    case RecurrentCell::kGruResetAfter:
      break;
  }
  return kGruResetAfterTable;
}

// Returns whether the op has this row of the table and, if the input is optional, was given the
// input.
bool IsGiven(int row, const RecurrentAttributes& attributes, bool is_lstm, bool is_gradient) {
  if (row == kInitialCell || row == kCellGrad) {
    return is_lstm && (is_gradient || row != kCellGrad);
  }
  if (kBias <= row && row <= kDropoutMask) {
    return attributes.counts[row - kBias] == 1;
  }
  if (kKernelScale <= row && row <= kCellOffset) {
    return row - kKernelScale < attributes.num_layer_norm;
  }
  return row < kOutputs || is_gradient;
}

bool AreKnown(const Arguments& arguments, std::string_view axes) {
  for (const char axis : axes) {
    if (arguments.Size(axis) == kUnknown) {
      return false;
    }
  }
  return true;
}

absl::Status CheckUnits(const Arguments& arguments) {
  if (arguments.Size('U') != 0) {
    return absl::OkStatus();
  }
  const int source = arguments.Source('U');
  return Invalid("`", arguments.table[source].name,
                 "` must have at least one unit, U. Received: ", arguments.Received(source));
}

absl::Status CheckSizes(const RecurrentArguments& arguments) {
  const int64_t batch = arguments.Size('B'), steps = arguments.Size('T');
  const int64_t features = arguments.Size('D'), units = arguments.Size('U');
  if (!ProductFits({batch, steps, features, kMaxFactor}) ||
      !ProductFits({batch, steps, units, kMaxFactor}) ||
      !ProductFits({features, units, kMaxFactor}) || !ProductFits({units, units, kMaxFactor})) {
    return Invalid("`inputs` and `kernel` must have sizes whose products fit 64 bits. Received: ",
                   arguments.Received(kInputs), ", ", arguments.Received(kKernel));
  }
  if (arguments.Has(kSaved) && AreKnown(arguments, "BTDUS")) {
    if (const int64_t expected = RecurrentSaved(ProblemOf(arguments));
        arguments.Size('S') != expected) {
      return Invalid("`saved` must have ", expected, " floats, as with save_for_gradient=true. ",
                     "Received: ", arguments.Received(kSaved), ", ", arguments.Received(kInputs));
    }
  }
  return absl::OkStatus();
}

// The size of the packed weights, up to a cache line: the core's scratch memory begins there.
int64_t PackedFloats(const RecurrentProblem& problem) {
  return CeilDiv(RecurrentPacked(problem), 16) * 16;
}

}  // namespace

std::vector<int> WeightInputs(const RecurrentArguments& arguments) {
  std::vector<int> inputs;
  for (size_t i = 0; i < arguments.rows.size(); ++i) {
    const int row = arguments.rows[i];
    if (row == kKernel || row == kRecurrentKernel || row == kBias) {
      inputs.push_back(static_cast<int>(i));
    }
  }
  return inputs;
}

RecurrentProblem ProblemOf(const RecurrentArguments& arguments) {
  RecurrentProblem problem{};
  problem.batch = arguments.Size('B');
  problem.steps = arguments.Size('T');
  problem.features = arguments.Size('D');
  problem.units = arguments.Size('U');
  problem.cell = arguments.cell;
  problem.storage = arguments.storage;
  problem.go_backwards = arguments.attributes.go_backwards;
  problem.zero_output_for_mask = arguments.attributes.zero_output_for_mask;
  problem.inputs = arguments.data[kInputs];
  problem.kernel = arguments.data[kKernel];
  problem.recurrent_kernel = arguments.data[kRecurrentKernel];
  problem.bias = arguments.data[kBias];
  problem.initial_hidden = arguments.data[kInitialHidden];
  problem.initial_cell = arguments.data[kInitialCell];
  problem.lengths = static_cast<const int32_t*>(arguments.data[kLengths]);
  problem.mask = static_cast<const uint8_t*>(arguments.data[kMask]);
  problem.recurrent_dropout_mask = arguments.data[kDropoutMask];
  problem.kernel_scale = arguments.data[kKernelScale];
  problem.recurrent_scale = arguments.data[kRecurrentScale];
  problem.cell_scale = arguments.data[kCellScale];
  problem.cell_offset = arguments.data[kCellOffset];
  problem.epsilon = arguments.attributes.epsilon;
  return problem;
}

void RunPacked(const RecurrentArguments& arguments, const RecurrentProblem& problem,
               const float* packed, const std::vector<void*>& results, float* scratch,
               const ParallelFor& parallel_for) {
  // Without rows or steps nothing is saved, but for the core a null pointer would mean not to save.
  static float nowhere[1];
  RecurrentResults core{};
  core.outputs = results[0];
  core.hidden = results[1];
  core.cell = problem.cell == RecurrentCell::kLstm ? results[2] : nullptr;
  if (arguments.attributes.save_for_gradient) {
    core.saved = results.back() ? static_cast<float*>(results.back()) : nowhere;
  }
  Recurrent(problem, packed, core, scratch, ChosenIsa(), parallel_for);
}

template <bool kIsLstm, bool kIsGradient>
absl::Status RecurrentOp<kIsLstm, kIsGradient>::CheckAttributes(const Attributes& attributes) {
  if (absl::Status status =
          CheckCounts(absl::MakeSpan(kLstmTable.inputs).subspan(kBias, std::size(kRecurrentCounts)),
                      attributes.counts);
      !status.ok()) {
    return status;
  }
  constexpr int kScales = kIsLstm ? 4 : 2;
  if (attributes.num_layer_norm != 0 && attributes.num_layer_norm != kScales) {
    return Invalid("`num_layer_norm` must be 0 or ", kScales,
                   ". Received: num_layer_norm=", attributes.num_layer_norm);
  }
  if (!kIsLstm && attributes.num_layer_norm != 0 && !attributes.reset_after) {
    return Invalid("`num_layer_norm` must be 0 with reset_after=false. Received: num_layer_norm=",
                   attributes.num_layer_norm);
  }
  if (!(std::isfinite(attributes.epsilon) && attributes.epsilon >= 0)) {
    return Invalid("`epsilon` must be finite and at least 0. Received: epsilon=",
                   attributes.epsilon);
  }
  return absl::OkStatus();
}

template <bool kIsLstm, bool kIsGradient>
absl::Status RecurrentOp<kIsLstm, kIsGradient>::ReadArguments(const Attributes& attributes,
                                                              Storage storage,
                                                              const std::vector<InputArray>& inputs,
                                                              Arguments* arguments) {
  if (absl::Status status = CheckAttributes(attributes); !status.ok()) {
    return status;
  }
  std::vector<int> rows;
  for (int row = 0; row < kRecurrentInputs; ++row) {
    if (IsGiven(row, attributes, kIsLstm, kIsGradient)) {
      rows.push_back(row);
    }
  }
  arguments->attributes = attributes;
  arguments->cell = kIsLstm                  ? RecurrentCell::kLstm
                    : attributes.reset_after ? RecurrentCell::kGruResetAfter
                                             : RecurrentCell::kGru;
  const absl::Status status =
      ReadInputs(TableOf(arguments->cell).inputs, rows, storage, inputs, arguments);
  // An impossible size probably contradicts another one as well: report the impossible one.
  if (absl::Status units = CheckUnits(*arguments); !units.ok()) {
    return units;
  }
  return status.ok() ? CheckSizes(*arguments) : status;
}

template <bool kIsLstm, bool kIsGradient>
absl::Status RecurrentOp<kIsLstm, kIsGradient>::CheckValues(const Arguments& arguments) {
  return CheckLengths(arguments, kLengths, 'T');
}

template <bool kIsLstm, bool kIsGradient>
std::vector<Result> RecurrentOp<kIsLstm, kIsGradient>::Results(const Arguments& arguments) {
  std::vector<Result> results;
  const auto add = [&](int row) {
    results.push_back({arguments.ShapeOf(arguments.table[row].axes), Elements::kStored});
  };
  if constexpr (kIsGradient) {
    // In the order of the inputs that have a gradient.
    for (const int row : arguments.rows) {
      if (row <= kBias || (kKernelScale <= row && row <= kCellOffset)) {
        add(row);
      }
    }
    return results;
  }
  add(kOutputs);
  add(kInitialHidden);
  if (kIsLstm) {
    add(kInitialCell);
  }
  const int64_t saved = !arguments.attributes.save_for_gradient ? 0
                        : AreKnown(arguments, "BTDU") ? RecurrentSaved(ProblemOf(arguments))
                                                      : kUnknown;
  results.push_back({{saved}, Elements::kFloat32});
  return results;
}

template <bool kIsLstm, bool kIsGradient>
int64_t RecurrentOp<kIsLstm, kIsGradient>::Scratch(const Arguments& arguments) {
  RecurrentProblem problem = ProblemOf(arguments);
  if constexpr (kIsGradient) {
    return RecurrentGradScratch(problem);
  }
  problem.reads_in_place = PackingCostsMore(problem);
  return PackedFloats(problem) + RecurrentScratch(problem, arguments.attributes.save_for_gradient);
}

template <bool kIsLstm, bool kIsGradient>
void RecurrentOp<kIsLstm, kIsGradient>::Run(const Arguments& arguments,
                                            const std::vector<void*>& results, float* scratch,
                                            const ParallelFor& parallel_for) {
  RecurrentProblem problem = ProblemOf(arguments);
  if constexpr (kIsGradient) {
    RecurrentGradients gradients{};
    gradients.outputs = arguments.data[kOutputs];
    gradients.saved = static_cast<const float*>(arguments.data[kSaved]);
    gradients.outputs_grad = arguments.data[kOutputsGrad];
    gradients.hidden_grad = arguments.data[kHiddenGrad];
    gradients.cell_grad = arguments.data[kCellGrad];
    auto result = results.begin();
    const auto next_if = [&](bool is_given) { return is_given ? *result++ : nullptr; };
    gradients.inputs_grad = next_if(true);
    gradients.kernel_grad = next_if(true);
    gradients.recurrent_kernel_grad = next_if(true);
    gradients.initial_hidden_grad = next_if(true);
    gradients.initial_cell_grad = next_if(kIsLstm);
    gradients.bias_grad = next_if(arguments.Has(kBias));
    gradients.kernel_scale_grad = next_if(arguments.Has(kKernelScale));
    gradients.recurrent_scale_grad = next_if(arguments.Has(kRecurrentScale));
    gradients.cell_scale_grad = next_if(arguments.Has(kCellScale));
    gradients.cell_offset_grad = next_if(arguments.Has(kCellOffset));
    RecurrentGrad(problem, gradients, scratch, ChosenIsa(), parallel_for);
  } else {
    problem.reads_in_place = PackingCostsMore(problem);
    PackRecurrent(problem, scratch, ChosenIsa(), parallel_for);
    RunPacked(arguments, problem, scratch, results, scratch + PackedFloats(problem), parallel_for);
  }
}

template struct RecurrentOp<true, false>;
template struct RecurrentOp<true, true>;
template struct RecurrentOp<false, false>;
template struct RecurrentOp<false, true>;

}  // namespace ikelos
