#include "tensorflow/attention_sizes.h"

#include <cmath>

namespace ikelos {
namespace {

absl::Status CheckLastAxes(const Arguments& arguments) {
  for (const char axis : {'H', 'E'}) {
    const int64_t size = arguments.Size(axis);
    if (size != kUnknown && (size < 1 || size > kMostSize)) {
      const int source = arguments.Source(axis);
      return Invalid("`", arguments.table[source].name, "` must have a last axis of 1 to ",
                     kMostSize, " elements. Received: ", arguments.Received(source));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckAttentionSizes(const Arguments& arguments) {
  const int64_t batch = arguments.Size('B'), queries = arguments.Size('T');
  const int64_t keys = arguments.Size('S'), heads = arguments.Size('N');
  const int64_t key_heads = arguments.Size('K');
  if (heads != kUnknown && key_heads != kUnknown &&
      (key_heads == 0 ? heads != 0 : heads % key_heads != 0)) {
    return Invalid(
        "`key` must have a number of heads, K, that divides that of `query`, N = ", heads,
        ". Received: ", arguments.Received(kKeyRow), ", ", arguments.Received(kQueryRow));
  }
  if (!ProductFits({batch, queries, heads, keys}) ||
      !ProductFits({batch, queries, heads, kMaxFactor}) ||
      !ProductFits({batch, keys, key_heads, kMaxFactor})) {
    return Invalid("`query` and `key` must have sizes whose products fit 64 bits. Received: ",
                   arguments.Received(kQueryRow), ", ", arguments.Received(kKeyRow));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckScaleAndWindow(float scale, int64_t window_left) {
  if (!std::isfinite(scale)) {
    return Invalid("`scale` must be finite. Received: scale=", scale);
  }
  if (window_left < -1) {
    return Invalid("`window_left` must be at least -1. Received: window_left=", window_left);
  }
  return absl::OkStatus();
}

absl::Status ReadAttentionInputs(absl::Span<const Input> table, const std::vector<int>& rows,
                                 Storage storage, const std::vector<InputArray>& inputs,
                                 Arguments* arguments) {
  const absl::Status status = ReadInputs(table, rows, storage, inputs, arguments);
  // An impossible size probably contradicts another one as well: report the impossible one.
  if (absl::Status last_axes = CheckLastAxes(*arguments); !last_axes.ok()) {
    return last_axes;
  }
  return status.ok() ? CheckAttentionSizes(*arguments) : status;
}

RowStrides DenseRows(int64_t positions, int64_t heads, int64_t size) {
  return {positions * heads * size, heads * size, size};
}

}  // namespace ikelos
