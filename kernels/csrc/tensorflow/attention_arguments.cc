#include "tensorflow/attention_arguments.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <initializer_list>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace ikelos {
namespace {

// A letter for each axis: a capital has the size of that axis, a small one that or 1, a digit its
// own.
struct Input {
  const char* name;
  std::string_view axes;
  Elements elements;
};
constexpr Input kInputs[kAttentionInputs] = {
    {"query", "BTNH", Elements::kStored},
    {"key", "BSKH", Elements::kStored},
    {"value", "BSKE", Elements::kStored},
    {"bias", "bnts", Elements::kStored},
    {"mask", "bnts", Elements::kBool},
    {"query_seq_lengths", "B", Elements::kInt32},
    {"key_value_seq_lengths", "B", Elements::kInt32},
    {"query_offset", "B", Elements::kInt32},
    {"alibi_slopes", "N", Elements::kFloat32},
    {"dropout_seed", "2", Elements::kInt32},
    {"output", "BTNE", Elements::kStored},
    {"residual", "BTN", Elements::kFloat32},
    {"output_grad", "BTNE", Elements::kStored},
    {"residual_grad", "BTN", Elements::kFloat32},
};
constexpr std::string_view kAxes = "BTSNKHE";
// The core multiplies the number of rows of an array by no more: sizes, copies, bytes.
constexpr int64_t kMaxFactor = int64_t{1} << 20;

template <typename... Parts>
absl::Status Invalid(const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat(parts...));
}

bool IsSmall(char letter) { return 'a' <= letter && letter <= 'z'; }
bool IsDigit(char letter) { return '0' <= letter && letter <= '9'; }
size_t AxisOf(char letter) {
  return kAxes.find(IsSmall(letter) ? static_cast<char>(letter - 'a' + 'A') : letter);
}

// "[B or 1, N or 1, T or 1, S or 1]"
std::string Expected(std::string_view axes) {
  return absl::StrCat("[",
                      absl::StrJoin(axes, ", ",
                                    [](std::string* text, char letter) {
                                      if (IsDigit(letter)) {
                                        text->push_back(letter);
                                      } else {
                                        absl::StrAppend(text, kAxes.substr(AxisOf(letter), 1),
                                                        IsSmall(letter) ? " or 1" : "");
                                      }
                                    }),
                      "]");
}

// "bias of shape [2,?,7,9]"
std::string Received(int input, const AttentionShape& shape) {
  return absl::StrCat(kInputs[input].name, " of shape [",
                      absl::StrJoin(shape, ",",
                                    [](std::string* text, int64_t size) {
                                      absl::StrAppend(text,
                                                      size == kUnknown ? "?" : absl::StrCat(size));
                                    }),
                      "]");
}

bool ProductFits(std::initializer_list<int64_t> sizes) {
  int64_t product = 1;
  for (const int64_t size : sizes) {
    if (size > 0 && __builtin_mul_overflow(product, size, &product)) {
      return false;
    }
  }
  return true;
}

int64_t SizeOf(const AttentionArguments& arguments, char letter) {
  return arguments.sizes[AxisOf(letter)];
}

bool Has(const AttentionArguments& arguments, AttentionInput input) {
  return arguments.attributes.counts[input - kBias] > 0;
}

AttentionShape ShapeOf(const AttentionArguments& arguments, std::string_view axes) {
  AttentionShape shape;
  for (const char letter : axes) {
    shape.push_back(SizeOf(arguments, letter));
  }
  return shape;
}

// Learns the sizes of axes from one input, or says which earlier one (`sources`, by axis) it
// contradicts.
absl::Status ReadShape(AttentionInput input, AttentionArguments* arguments,
                       AttentionInput* sources) {
  const AttentionShape& shape = arguments->shapes[input];
  const std::string_view axes = kInputs[input].axes;
  if (shape.size() != axes.size()) {
    return Invalid(kInputs[input].name, ": expected shape ", Expected(axes),
                   ". Received: ", Received(input, shape), input == kQuery ? "" : " and ",
                   input == kQuery ? "" : Received(kQuery, arguments->shapes[kQuery]));
  }
  for (size_t i = 0; i < axes.size(); ++i) {
    if (shape[i] == kUnknown || (IsSmall(axes[i]) && shape[i] == 1)) {
      continue;
    }
    if (IsDigit(axes[i])) {
      if (shape[i] == axes[i] - '0') {
        continue;
      }
      return Invalid(kInputs[input].name, ": expected shape ", Expected(axes),
                     ". Received: ", Received(input, shape));
    }
    const size_t axis = AxisOf(axes[i]);
    int64_t& size = arguments->sizes[axis];
    if (size == kUnknown) {
      if ((axes[i] == 'H' || axes[i] == 'E') && (shape[i] < 1 || shape[i] > kMostSize)) {
        return Invalid(kInputs[input].name, ": expected a last axis of 1 to ", kMostSize,
                       " elements. Received: ", Received(input, shape));
      }
      size = shape[i];
      sources[axis] = input;
    } else if (size != shape[i]) {
      const AttentionInput source = sources[axis];
      return Invalid(kInputs[input].name, ": expected shape ", Expected(axes), ", ",
                     kAxes.substr(axis, 1), " = ", size, " as in ", kInputs[source].name,
                     ". Received: ", Received(input, shape), " and ",
                     Received(source, arguments->shapes[source]));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckSizes(const AttentionArguments& arguments) {
  const auto size = [&](char letter) { return SizeOf(arguments, letter); };
  const auto received = [&](AttentionInput input) {
    return Received(input, arguments.shapes[input]);
  };
  const int64_t heads = size('N'), key_heads = size('K');
  if (heads != kUnknown && key_heads != kUnknown &&
      (key_heads == 0 ? heads != 0 : heads % key_heads != 0)) {
    return Invalid("key: expected a number of heads, K, that divides that of query, N = ", heads,
                   ". Received: ", received(kKey), " and ", received(kQuery));
  }
  if (!ProductFits({size('B'), size('T'), size('N'), size('S')}) ||
      !ProductFits({size('B'), size('T'), size('N'), kMaxFactor}) ||
      !ProductFits({size('B'), size('S'), size('K'), kMaxFactor})) {
    return Invalid("query: expected sizes whose products fit 64 bits. Received: ", received(kQuery),
                   " and ", received(kKey));
  }
  return absl::OkStatus();
}

absl::Status CheckLengths(const AttentionArguments& arguments, AttentionInput input, char letter) {
  if (!Has(arguments, input)) {
    return absl::OkStatus();
  }
  const auto* lengths = static_cast<const int32_t*>(arguments.data[input]);
  const int64_t limit = SizeOf(arguments, letter);
  for (int64_t b = 0; b < SizeOf(arguments, 'B'); ++b) {
    if (lengths[b] >= 0 && lengths[b] <= limit) {
      continue;
    }
    return Invalid(kInputs[input].name, ": expected lengths of 0 to ", std::string(1, letter),
                   " = ", limit, ". Received: ", kInputs[input].name, "[", b, "] = ", lengths[b]);
  }
  return absl::OkStatus();
}

RowStrides DenseRows(int64_t positions, int64_t heads, int64_t size) {
  return {positions * heads * size, heads * size, size};
}

PairStrides DensePairs(const AttentionShape& sizes) {
  int64_t steps[4], step = 1;
  for (int i = 3; i >= 0; --i) {
    steps[i] = sizes[i] == 1 ? 0 : step;
    step *= sizes[i];
  }
  return {steps[0], steps[1], steps[2], steps[3]};
}

AttentionProblem ProblemOf(const AttentionArguments& arguments, Storage storage) {
  // An array without elements may have no address, nor has any while XLA compiles, but to the core
  // null means that there is none.
  alignas(8) static const char kNowhere[8] = {};
  const void* data[kAttentionInputs];
  for (int i = 0; i < kAttentionInputs; ++i) {
    const bool is_absent =
        kBias <= i && i <= kDropoutSeed && arguments.attributes.counts[i - kBias] == 0;
    data[i] = is_absent ? nullptr : arguments.data[i] ? arguments.data[i] : kNowhere;
  }
  AttentionProblem problem{};
  problem.batch = SizeOf(arguments, 'B');
  problem.queries = SizeOf(arguments, 'T');
  problem.keys = SizeOf(arguments, 'S');
  problem.heads = SizeOf(arguments, 'N');
  problem.key_heads = SizeOf(arguments, 'K');
  problem.size = SizeOf(arguments, 'H');
  problem.value_size = SizeOf(arguments, 'E');
  problem.storage = storage;
  problem.query = data[kQuery];
  problem.key = data[kKey];
  problem.value = data[kValue];
  problem.query_strides = DenseRows(problem.queries, problem.heads, problem.size);
  problem.key_strides = DenseRows(problem.keys, problem.key_heads, problem.size);
  problem.value_strides = DenseRows(problem.keys, problem.key_heads, problem.value_size);
  problem.bias = data[kBias];
  if (problem.bias) {
    problem.bias_strides = DensePairs(arguments.shapes[kBias]);
  }
  problem.mask = static_cast<const uint8_t*>(data[kMask]);
  if (problem.mask) {
    problem.mask_strides = DensePairs(arguments.shapes[kMask]);
  }
  problem.query_lengths = static_cast<const int32_t*>(data[kQueryLengths]);
  problem.key_lengths = static_cast<const int32_t*>(data[kKeyLengths]);
  problem.query_offsets = static_cast<const int32_t*>(data[kQueryOffset]);
  problem.alibi_slopes = static_cast<const float*>(data[kAlibiSlopes]);
  problem.scale = arguments.attributes.scale;
  problem.is_causal = arguments.attributes.is_causal;
  problem.window_left = arguments.attributes.window_left;
  problem.window_right = arguments.attributes.window_right;
  problem.dropout_rate = arguments.attributes.dropout_rate;
  if (data[kDropoutSeed]) {
    std::memcpy(problem.seed, data[kDropoutSeed], sizeof problem.seed);
  }
  return problem;
}

}  // namespace

Elements ElementsOf(AttentionInput input) { return kInputs[input].elements; }

const char* NameOf(AttentionInput input) { return kInputs[input].name; }

std::vector<AttentionInput> InputsOf(const AttentionAttributes& attributes, bool is_gradient) {
  std::vector<AttentionInput> inputs;
  for (int i = 0; i < (is_gradient ? kAttentionInputs : kOutput); ++i) {
    if (kBias <= i && i <= kDropoutSeed && attributes.counts[i - kBias] == 0) {
      continue;
    }
    inputs.push_back(static_cast<AttentionInput>(i));
  }
  return inputs;
}

absl::Status CheckAttributes(const AttentionAttributes& attributes) {
  for (int i = 0; i < kOptionalInputs; ++i) {
    const char* name = kInputs[kBias + i].name;
    if (attributes.counts[i] != 0 && attributes.counts[i] != 1) {
      return Invalid(name, ": expected none or one. Received: num_", name, "=",
                     attributes.counts[i]);
    }
  }
  if (!std::isfinite(attributes.scale)) {
    return Invalid("scale: expected a finite number. Received: scale=", attributes.scale);
  }
  if (attributes.window_left < -1) {
    return Invalid("window_left: expected a number >= -1. Received: window_left=",
                   attributes.window_left);
  }
  if (attributes.window_right < -1) {
    return Invalid("window_right: expected a number >= -1. Received: window_right=",
                   attributes.window_right);
  }
  if (!(attributes.dropout_rate >= 0 && attributes.dropout_rate < 1)) {
    return Invalid("dropout_rate: expected a number within [0, 1). Received: dropout_rate=",
                   attributes.dropout_rate);
  }
  const int64_t seeds = attributes.counts[kDropoutSeed - kBias];
  if ((attributes.dropout_rate > 0) != (seeds == 1)) {
    return Invalid("dropout_seed: expected one if dropout_rate > 0, else none. Received: ",
                   "num_dropout_seed=", seeds, " and dropout_rate=", attributes.dropout_rate);
  }
  return absl::OkStatus();
}

absl::Status ReadArguments(const AttentionAttributes& attributes, bool is_gradient,
                           const std::vector<AttentionArray>& inputs,
                           AttentionArguments* arguments) {
  if (absl::Status status = CheckAttributes(attributes); !status.ok()) {
    return status;
  }
  const std::vector<AttentionInput> roles = InputsOf(attributes, is_gradient);
  if (roles.size() != inputs.size()) {
    return Invalid("expected ", roles.size(), " inputs. Received: ", inputs.size());
  }

  arguments->attributes = attributes;
  std::fill(std::begin(arguments->data), std::end(arguments->data), nullptr);
  std::fill(std::begin(arguments->sizes), std::end(arguments->sizes), kUnknown);
  AttentionInput sources[kAxes.size()] = {};
  for (size_t i = 0; i < roles.size(); ++i) {
    arguments->data[roles[i]] = inputs[i].data;
    arguments->shapes[roles[i]] =
        inputs[i].shape.value_or(AttentionShape(kInputs[roles[i]].axes.size(), kUnknown));
    if (absl::Status status = ReadShape(roles[i], arguments, sources); !status.ok()) {
      return status;
    }
  }
  return CheckSizes(*arguments);
}

absl::Status CheckValues(const AttentionArguments& arguments) {
  absl::Status status = CheckLengths(arguments, kQueryLengths, 'T');
  return status.ok() ? CheckLengths(arguments, kKeyLengths, 'S') : status;
}

std::vector<AttentionShape> ResultShapes(const AttentionArguments& arguments, bool is_gradient) {
  if (!is_gradient) {
    return {ShapeOf(arguments, "BTNE"), ShapeOf(arguments, "BTN")};
  }
  std::vector<AttentionShape> shapes = {ShapeOf(arguments, "BTNH"), ShapeOf(arguments, "BSKH"),
                                        ShapeOf(arguments, "BSKE")};
  if (Has(arguments, kBias)) {
    shapes.push_back(arguments.shapes[kBias]);
  }
  return shapes;
}

int64_t GradScratch(const AttentionArguments& arguments, Storage storage) {
  return AttentionGradScratch(ProblemOf(arguments, storage));
}

void RunAttention(const AttentionArguments& arguments, Storage storage,
                  const std::vector<void*>& results, const ParallelFor& parallel_for) {
  Attention(ProblemOf(arguments, storage), results[0], static_cast<float*>(results[1]), BestIsa(),
            parallel_for);
}

void RunAttentionGrad(const AttentionArguments& arguments, Storage storage,
                      const std::vector<void*>& results, float* scratch,
                      const ParallelFor& parallel_for) {
  AttentionGradients gradients{};
  gradients.output = arguments.data[kOutput];
  gradients.residual = static_cast<const float*>(arguments.data[kResidual]);
  gradients.output_grad = arguments.data[kOutputGrad];
  gradients.residual_grad = static_cast<const float*>(arguments.data[kResidualGrad]);
  gradients.query_grad = results[0];
  gradients.key_grad = results[1];
  gradients.value_grad = results[2];
  if (Has(arguments, kBias)) {
    gradients.bias_grad = results[3];
    std::copy_n(arguments.shapes[kBias].begin(), 4, gradients.bias_grad_sizes);
  }
  AttentionGrad(ProblemOf(arguments, storage), gradients, scratch, BestIsa(), parallel_for);
}

}  // namespace ikelos
