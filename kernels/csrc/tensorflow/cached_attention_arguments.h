// IkelosCachedAttention as an op for the templates that arguments.h names.
#ifndef IKELOS_TENSORFLOW_CACHED_ATTENTION_ARGUMENTS_H_
#define IKELOS_TENSORFLOW_CACHED_ATTENTION_ARGUMENTS_H_

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <vector>

#include "absl/status/status.h"
#include "core/cached_attention.h"
#include "core/parallel.h"
#include "tensorflow/arguments.h"
#include "tensorflow/names.h"

namespace ikelos {

// The optional inputs, in order.
inline constexpr const char* kCachedAttentionCounts[] = {"num_query_seq_lengths", "num_cache_rows",
                                                         "num_alibi_slopes"};

struct CachedAttentionAttributes {
  int64_t counts[std::size(kCachedAttentionCounts)];
  float scale;
  int64_t window_left;
};

struct CachedAttentionArguments : Arguments {
  CachedAttentionAttributes attributes;
};

struct CachedAttentionOp {
  using Attributes = CachedAttentionAttributes;
  using Arguments = CachedAttentionArguments;
  static constexpr const char* kTarget = kCachedAttentionTarget;

  template <typename AnyAttributes, typename Visit>
  static void ForEachAttribute(AnyAttributes& attributes, Visit visit) {
    for (size_t i = 0; i < std::size(kCachedAttentionCounts); ++i) {
      visit(kCachedAttentionCounts[i], attributes.counts[i]);
    }
    visit("scale", attributes.scale);
    visit("window_left", attributes.window_left);
  }

  static absl::Status CheckAttributes(const Attributes& attributes);
  static absl::Status ReadArguments(const Attributes& attributes, Storage storage,
                                    const std::vector<InputArray>& inputs, Arguments* arguments);
  static absl::Status CheckValues(const Arguments& arguments);
  static std::vector<Result> Results(const Arguments& arguments);
  static int64_t Scratch(const Arguments&) { return 0; }
  static void Run(const Arguments& arguments, const std::vector<void*>& results, float* scratch,
                  const ParallelFor& parallel_for);
};

}  // namespace ikelos

#endif  // IKELOS_TENSORFLOW_CACHED_ATTENTION_ARGUMENTS_H_
