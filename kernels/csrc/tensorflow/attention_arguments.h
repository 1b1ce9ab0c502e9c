// What IkelosAttention and IkelosAttentionGrad are given, checked and laid out for the core. Four
// ask for it: the shape functions (shapes in part), the XLA lowerings (shapes), the CPU kernels and
// the XLA handlers (shapes and values). They share one table of inputs, so they agree on what fits.
#ifndef IKELOS_TENSORFLOW_ATTENTION_ARGUMENTS_H_
#define IKELOS_TENSORFLOW_ATTENTION_ARGUMENTS_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "core/attention.h"
#include "core/parallel.h"

namespace ikelos {

// In the order of the ops' inputs, of which the optional ones may be missing.
enum AttentionInput {
  kQuery,
  kKey,
  kValue,
  kBias,  // the first that is optional
  kMask,
  kQueryLengths,
  kKeyLengths,
  kQueryOffset,
  kAlibiSlopes,
  kDropoutSeed,  // the last that is optional
  kOutput,       // from here on: of the gradient alone
  kResidual,
  kOutputGrad,
  kResidualGrad,
  kAttentionInputs
};
inline constexpr int kOptionalInputs = kDropoutSeed - kBias + 1;

struct AttentionAttributes {
  int64_t counts[kOptionalInputs];  // 0 or 1 of each optional input
  float scale;
  bool is_causal;
  int64_t window_left;
  int64_t window_right;
  float dropout_rate;
};

// visit(name, value) for each attribute but the dtype: to read them all, or to write them.
template <typename Attributes, typename Visit>
void ForEachAttribute(Attributes& attributes, Visit visit) {
  visit("num_bias", attributes.counts[kBias - kBias]);
  visit("num_mask", attributes.counts[kMask - kBias]);
  visit("num_query_seq_lengths", attributes.counts[kQueryLengths - kBias]);
  visit("num_key_value_seq_lengths", attributes.counts[kKeyLengths - kBias]);
  visit("num_query_offset", attributes.counts[kQueryOffset - kBias]);
  visit("num_alibi_slopes", attributes.counts[kAlibiSlopes - kBias]);
  visit("num_dropout_seed", attributes.counts[kDropoutSeed - kBias]);
  visit("scale", attributes.scale);
  visit("is_causal", attributes.is_causal);
  visit("window_left", attributes.window_left);
  visit("window_right", attributes.window_right);
  visit("dropout_rate", attributes.dropout_rate);
}

// From all that has GetAttr.
template <typename Context>
absl::Status ReadAttributes(const Context* context, AttentionAttributes* attributes) {
  absl::Status status;
  ForEachAttribute(*attributes, [&](const char* name, auto& value) {
    status.Update(context->GetAttr(name, &value));
  });
  return status;
}

absl::Status CheckAttributes(const AttentionAttributes& attributes);

inline constexpr int64_t kUnknown = -1;
using AttentionShape = absl::InlinedVector<int64_t, 4>;  // kUnknown where an axis is

struct AttentionArray {
  std::optional<AttentionShape> shape;  // none: not even the rank is known
  const void* data;                     // not read by what needs only shapes
};

// The inputs by what they are, and what their shapes say of the axes.
struct AttentionArguments {
  AttentionAttributes attributes;
  AttentionShape shapes[kAttentionInputs];  // of the right rank, kUnknown where unknown
  const void* data[kAttentionInputs];       // null: there is no such input
  int64_t sizes[7];                         // of the axes B, T, S, N, K, H, E
};

// InvalidArgument if attributes or shapes don't fit, as far as they are known. `inputs` are those
// of the op, in order.
absl::Status ReadArguments(const AttentionAttributes& attributes, bool is_gradient,
                           const std::vector<AttentionArray>& inputs,
                           AttentionArguments* arguments);

// InvalidArgument if a length is not within its axis.
absl::Status CheckValues(const AttentionArguments& arguments);

// What kind of elements an input has.
enum class Elements { kStored, kBool, kInt32, kFloat32 };
Elements ElementsOf(AttentionInput input);
const char* NameOf(AttentionInput input);

// Which input is the i-th of the op.
std::vector<AttentionInput> InputsOf(const AttentionAttributes& attributes, bool is_gradient);

// The shapes of output and residual, or of the gradients by query, key, value and, if there is one,
// bias.
std::vector<AttentionShape> ResultShapes(const AttentionArguments& arguments, bool is_gradient);

// How many floats of scratch memory the gradient needs.
int64_t GradScratch(const AttentionArguments& arguments, Storage storage);

// Run the core, with arrays for ResultShapes in `results`.
void RunAttention(const AttentionArguments& arguments, Storage storage,
                  const std::vector<void*>& results, const ParallelFor& parallel_for);
void RunAttentionGrad(const AttentionArguments& arguments, Storage storage,
                      const std::vector<void*>& results, float* scratch,
                      const ParallelFor& parallel_for);

}  // namespace ikelos

#endif  // IKELOS_TENSORFLOW_ATTENTION_ARGUMENTS_H_
