#include "tensorflow/attention_arguments.h"

#include <algorithm>
#include <cstring>
#include <iterator>

#include "tensorflow/attention_sizes.h"

namespace ikelos {
namespace {

// The rows of the table, in the order of the ops' inputs.
enum AttentionInput {
  kQuery = kQueryRow,
  kKey = kKeyRow,
  kValue = kValueRow,
  kBias,  // the first optional input
  kMask,
  kQueryLengths,
  kKeyLengths,
  kQueryOffset,
  kAlibiSlopes,
  kDropoutSeed,  // the last optional input
  kOutput,       // from here on: only for the gradient
  kResidual,
  kOutputGrad,
  kResidualGrad,
  kAttentionInputs
};
static_assert(kDropoutSeed - kBias + 1 == std::size(kAttentionCounts));

constexpr Input kTable[] = {
    {"query", "B T N H", Elements::kStored},
    {"key", "B S K H", Elements::kStored},
    {"value", "B S K E", Elements::kStored},
    {"bias", "b n t s", Elements::kStored},
    {"mask", "b n t s", Elements::kBool},
    {"query_seq_lengths", "B", Elements::kInt32},
    {"key_value_seq_lengths", "B", Elements::kInt32},
    {"query_offset", "B", Elements::kInt32},
    {"alibi_slopes", "N", Elements::kFloat32},
    {"dropout_seed", "2", Elements::kInt32},
    {"output", "B T N E", Elements::kStored},
    {"residual", "B T N", Elements::kFloat32},
    {"output_grad", "B T N E", Elements::kStored},
    {"residual_grad", "B T N", Elements::kFloat32},
};
static_assert(std::size(kTable) == kAttentionInputs);

PairStrides DensePairs(const Shape& sizes) {
  int64_t steps[4], step = 1;
  for (int i = 3; i >= 0; --i) {
    steps[i] = sizes[i] == 1 ? 0 : step;
    step *= sizes[i];
  }
  return {steps[0], steps[1], steps[2], steps[3]};
}

AttentionProblem ProblemOf(const AttentionArguments& arguments) {
  AttentionProblem problem{};
  problem.batch = arguments.Size('B');
  problem.queries = arguments.Size('T');
  problem.keys = arguments.Size('S');
  problem.heads = arguments.Size('N');
  problem.key_heads = arguments.Size('K');
  problem.size = arguments.Size('H');
  problem.value_size = arguments.Size('E');
  problem.storage = arguments.storage;
  problem.query = arguments.data[kQuery];
  problem.key = arguments.data[kKey];
  problem.value = arguments.data[kValue];
  problem.query_strides = DenseRows(problem.queries, problem.heads, problem.size);
  problem.key_strides = DenseRows(problem.keys, problem.key_heads, problem.size);
  problem.value_strides = DenseRows(problem.keys, problem.key_heads, problem.value_size);
  problem.bias = arguments.data[kBias];
  if (problem.bias) {
    problem.bias_strides = DensePairs(arguments.shapes[kBias]);
  }
  problem.mask = static_cast<const uint8_t*>(arguments.data[kMask]);
  if (problem.mask) {
    problem.mask_strides = DensePairs(arguments.shapes[kMask]);
  }
  problem.query_lengths = static_cast<const int32_t*>(arguments.data[kQueryLengths]);
  problem.key_lengths = static_cast<const int32_t*>(arguments.data[kKeyLengths]);
  problem.query_offsets = static_cast<const int32_t*>(arguments.data[kQueryOffset]);
  problem.alibi_slopes = static_cast<const float*>(arguments.data[kAlibiSlopes]);
  problem.scale = arguments.attributes.scale;
  problem.is_causal = arguments.attributes.is_causal;
  problem.window_left = arguments.attributes.window_left;
  problem.window_right = arguments.attributes.window_right;
  problem.cache_bytes = CacheBytes();
  problem.dropout_rate = arguments.attributes.dropout_rate;
  if (arguments.Has(kDropoutSeed)) {
    std::memcpy(problem.seed, arguments.data[kDropoutSeed], sizeof problem.seed);
  }
  return problem;
}

}  // namespace

template <bool kIsGradient>
absl::Status AttentionOp<kIsGradient>::CheckAttributes(const Attributes& attributes) {
  absl::Status status = CheckCounts(
      absl::MakeSpan(kTable).subspan(kBias, std::size(kAttentionCounts)), attributes.counts);
  status.Update(CheckScaleAndWindow(attributes.scale, attributes.window_left));
  if (!status.ok()) {
    return status;
  }
  if (attributes.window_right < -1) {
    return Invalid("`window_right` must be at least -1. Received: window_right=",
                   attributes.window_right);
  }
  if (!(attributes.dropout_rate >= 0 && attributes.dropout_rate < 1)) {
    return Invalid("`dropout_rate` must be at least 0 and below 1. Received: dropout_rate=",
                   attributes.dropout_rate);
  }
  const int64_t seeds = attributes.counts[kDropoutSeed - kBias];
  if ((attributes.dropout_rate > 0) != (seeds == 1)) {
    return Invalid(
        "`num_dropout_seed` must be 1 if `dropout_rate` is above 0, and else 0. Received: ",
        "num_dropout_seed=", seeds, ", dropout_rate=", attributes.dropout_rate);
  }
  return absl::OkStatus();
}

template <bool kIsGradient>
absl::Status AttentionOp<kIsGradient>::ReadArguments(const Attributes& attributes, Storage storage,
                                                     const std::vector<InputArray>& inputs,
                                                     Arguments* arguments) {
  if (absl::Status status = CheckAttributes(attributes); !status.ok()) {
    return status;
  }
  std::vector<int> rows;
  for (int row = 0; row < (kIsGradient ? kAttentionInputs : kOutput); ++row) {
    if (row < kBias || row > kDropoutSeed || attributes.counts[row - kBias] == 1) {
      rows.push_back(row);
    }
  }
  arguments->attributes = attributes;
  return ReadAttentionInputs(kTable, rows, storage, inputs, arguments);
}

template <bool kIsGradient>
absl::Status AttentionOp<kIsGradient>::CheckValues(const Arguments& arguments) {
  absl::Status status = CheckLengths(arguments, kQueryLengths, 'T');
  status.Update(CheckLengths(arguments, kKeyLengths, 'S'));
  return status;
}

template <bool kIsGradient>
std::vector<Result> AttentionOp<kIsGradient>::Results(const Arguments& arguments) {
  if constexpr (kIsGradient) {
    std::vector<Result> results;
    for (const int row : {kQuery, kKey, kValue}) {
      results.push_back({arguments.ShapeOf(kTable[row].axes), Elements::kStored});
    }
    if (arguments.Has(kBias)) {
      results.push_back({arguments.shapes[kBias], Elements::kStored});
    }
    return results;
  } else {
    return {{arguments.ShapeOf("B T N E"), Elements::kStored},
            {arguments.ShapeOf("B T N"), Elements::kFloat32}};
  }
}

template <bool kIsGradient>
int64_t AttentionOp<kIsGradient>::Scratch(const Arguments& arguments) {
  return kIsGradient ? AttentionGradScratch(ProblemOf(arguments)) : 0;
}

template <bool kIsGradient>
void AttentionOp<kIsGradient>::Run(const Arguments& arguments, const std::vector<void*>& results,
                                   float* scratch, const ParallelFor& parallel_for) {
  const AttentionProblem problem = ProblemOf(arguments);
  if constexpr (kIsGradient) {
    AttentionGradients gradients{};
    gradients.output = arguments.data[kOutput];
    gradients.residual = static_cast<const float*>(arguments.data[kResidual]);
    gradients.output_grad = arguments.data[kOutputGrad];
    gradients.residual_grad = static_cast<const float*>(arguments.data[kResidualGrad]);
    gradients.query_grad = results[0];
    gradients.key_grad = results[1];
    gradients.value_grad = results[2];
    if (arguments.Has(kBias)) {
      gradients.bias_grad = results[3];
      std::copy_n(arguments.shapes[kBias].begin(), 4, gradients.bias_grad_sizes);
    }
    AttentionGrad(problem, gradients, scratch, ChosenIsa(), parallel_for);
  } else {
    Attention(problem, results[0], static_cast<float*>(results[1]), ChosenIsa(), parallel_for);
  }
}

template struct AttentionOp<false>;
template struct AttentionOp<true>;

}  // namespace ikelos
