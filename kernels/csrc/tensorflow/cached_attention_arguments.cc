#include "tensorflow/cached_attention_arguments.h"

#include <iterator>

#include "core/isa.h"
#include "tensorflow/attention_sizes.h"

namespace ikelos {
namespace {

// The rows of the table, in the order of the op's inputs.
enum CachedAttentionInput {
  kQuery = kQueryRow,
  kKey = kKeyRow,
  kValue = kValueRow,
  kKeyCache,
  kValueCache,
  kCacheLengths,
  kQueryLengths,  // the first optional input
  kCacheRows,
  kAlibiSlopes,
  kCachedAttentionInputs
};
static_assert(kCachedAttentionInputs - kQueryLengths == std::size(kCachedAttentionCounts));

constexpr Input kTable[] = {
    {"query", "B T N H", Elements::kStored},       {"key", "B T K H", Elements::kStored},
    {"value", "B T K E", Elements::kStored},       {"key_cache", "B S K H", Elements::kStored},
    {"value_cache", "B S K E", Elements::kStored}, {"cache_lengths", "B", Elements::kInt32},
    {"query_seq_lengths", "B", Elements::kInt32},  {"cache_rows", "B S", Elements::kInt32},
    {"alibi_slopes", "N", Elements::kFloat32},
};
static_assert(std::size(kTable) == kCachedAttentionInputs);

AttentionProblem ProblemOf(const CachedAttentionArguments& arguments) {
  AttentionProblem problem{};
  problem.batch = arguments.Size('B');
  problem.queries = problem.keys = arguments.Size('T');
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
  problem.alibi_slopes = static_cast<const float*>(arguments.data[kAlibiSlopes]);
  problem.scale = arguments.attributes.scale;
  problem.is_causal = true;
  problem.window_left = arguments.attributes.window_left;
  problem.window_right = -1;
  problem.cache_bytes = CacheBytes();
  return problem;
}

AttentionCache CacheOf(const CachedAttentionArguments& arguments) {
  AttentionCache cache{};
  cache.capacity = arguments.Size('S');
  cache.lengths = static_cast<const int32_t*>(arguments.data[kCacheLengths]);
  cache.num_valid = static_cast<const int32_t*>(arguments.data[kQueryLengths]);
  return cache;
}

}  // namespace

absl::Status CachedAttentionOp::CheckAttributes(const Attributes& attributes) {
  absl::Status status =
      CheckCounts(absl::MakeSpan(kTable).subspan(kQueryLengths), attributes.counts);
  status.Update(CheckScaleAndWindow(attributes.scale, attributes.window_left));
  return status;
}

absl::Status CachedAttentionOp::ReadArguments(const Attributes& attributes, Storage storage,
                                              const std::vector<InputArray>& inputs,
                                              Arguments* arguments) {
  if (absl::Status status = CheckAttributes(attributes); !status.ok()) {
    return status;
  }
  std::vector<int> rows;
  for (int row = 0; row < kCachedAttentionInputs; ++row) {
    if (row < kQueryLengths || attributes.counts[row - kQueryLengths] == 1) {
      rows.push_back(row);
    }
  }
  arguments->attributes = attributes;
  return ReadAttentionInputs(kTable, rows, storage, inputs, arguments);
}

absl::Status CachedAttentionOp::CheckValues(const Arguments& arguments) {
  if (absl::Status status = CheckLengths(arguments, kQueryLengths, 'T'); !status.ok()) {
    return status;
  }
  const AttentionProblem problem = ProblemOf(arguments);
  const AttentionCache cache = CacheOf(arguments);
  for (int64_t b = 0; b < problem.batch; ++b) {
    const int64_t length = cache.lengths[b];
    const int64_t count = cache.num_valid == nullptr ? problem.queries : cache.num_valid[b];
    if (length < 0 || length + count > INT32_MAX) {
      return Invalid("`cache_lengths` must be at least 0, and below 2^31 with the new tokens. ",
                     "Received: cache_lengths[", b, "]=", length);
    }
    if (!HasRoom(problem, cache, length, count)) {
      return Invalid("`cache` must have room for the new tokens, S = ", length + count,
                     " positions, or for the window. Received: ", arguments.Received(kKeyCache),
                     ", cache_lengths[", b, "]=", length);
    }
  }
  if (arguments.Has(kCacheRows)) {
    const auto* const rows = static_cast<const int32_t*>(arguments.data[kCacheRows]);
    for (int64_t i = 0; i < problem.batch * cache.capacity; ++i) {
      if (rows[i] < 0 || rows[i] >= problem.batch) {
        return Invalid("`cache_rows` must be within 0 and B - 1 = ", problem.batch - 1,
                       ". Received: cache_rows[", i / cache.capacity, ",", i % cache.capacity,
                       "]=", rows[i]);
      }
    }
  }
  return absl::OkStatus();
}

std::vector<Result> CachedAttentionOp::Results(const Arguments& arguments) {
  std::vector<Result> results = {
      {arguments.ShapeOf("B T N E"), Elements::kStored},
      {arguments.ShapeOf("B S K H"), Elements::kStored, kKeyCache},
      {arguments.ShapeOf("B S K E"), Elements::kStored, kValueCache},
  };
  if (arguments.Has(kCacheRows)) {
    // The inputs before it are always given, but for the lengths.
    results.push_back({arguments.ShapeOf("B S"), Elements::kInt32,
                       kCacheRows - (arguments.Has(kQueryLengths) ? 0 : 1)});
  }
  return results;
}

void CachedAttentionOp::Run(const Arguments& arguments, const std::vector<void*>& results, float*,
                            const ParallelFor& parallel_for) {
  AttentionCache cache = CacheOf(arguments);
  cache.key = results[1];
  cache.value = results[2];
  if (arguments.Has(kCacheRows)) {
    cache.rows = static_cast<int32_t*>(results[3]);
  }
  CachedAttention(ProblemOf(arguments), cache, results[0], ChosenIsa(), parallel_for);
}

}  // namespace ikelos
