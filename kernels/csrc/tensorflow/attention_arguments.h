// IkelosAttention and IkelosAttentionGrad as ops for the templates that arguments.h names.
#ifndef IKELOS_TENSORFLOW_ATTENTION_ARGUMENTS_H_
#define IKELOS_TENSORFLOW_ATTENTION_ARGUMENTS_H_

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <vector>

#include "absl/status/status.h"
#include "core/attention.h"
#include "core/parallel.h"
#include "tensorflow/arguments.h"
#include "tensorflow/names.h"

namespace ikelos {

// The optional inputs, in order.
inline constexpr const char* kAttentionCounts[] = {
    "num_bias",         "num_mask",         "num_query_seq_lengths", "num_key_value_seq_lengths",
    "num_query_offset", "num_alibi_slopes", "num_dropout_seed"};

struct AttentionAttributes {
  int64_t counts[std::size(kAttentionCounts)];
  float scale;
  bool is_causal;
  int64_t window_left;
  int64_t window_right;
  float dropout_rate;
};

struct AttentionArguments : Arguments {
  AttentionAttributes attributes;
};

template <bool kIsGradient>
struct AttentionOp {
  using Attributes = AttentionAttributes;
  using Arguments = AttentionArguments;
  static constexpr const char* kTarget = kIsGradient ? kAttentionGradTarget : kAttentionTarget;

  template <typename AnyAttributes, typename Visit>
  static void ForEachAttribute(AnyAttributes& attributes, Visit visit) {
    for (size_t i = 0; i < std::size(kAttentionCounts); ++i) {
      visit(kAttentionCounts[i], attributes.counts[i]);
    }
    visit("scale", attributes.scale);
    visit("is_causal", attributes.is_causal);
    visit("window_left", attributes.window_left);
    visit("window_right", attributes.window_right);
    visit("dropout_rate", attributes.dropout_rate);
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

}  // namespace ikelos

#endif  // IKELOS_TENSORFLOW_ATTENTION_ARGUMENTS_H_
