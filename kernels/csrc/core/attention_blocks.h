// The parts of attention that are compiled once per instruction set. Each runs on one thread.
#ifndef IKELOS_CORE_ATTENTION_BLOCKS_H_
#define IKELOS_CORE_ATTENTION_BLOCKS_H_

#include <cstdint>

#include "core/attention.h"

namespace ikelos {

// Query rows are multiplied in groups of kQueryGroup. Sums over keys have rows of a multiple of
// kSumColumns, the number of floats in the widest vector.
constexpr int64_t kQueryGroup = 12;
constexpr int64_t kSumColumns = 16;

// The decoding kernel is used for at most kDecodeRows rows (queries times heads) per key head. With
// 1024 keys and a head of its own for each key head, it takes as long as the other kernel at some
// 12 rows, and 7% longer at 16; with four heads per key head, half as long at 12 and two thirds at
// 16 (Intel Xeon with AMX, both instruction sets). It is used for at most kMostDecodeRows rows in
// all, because it holds the scores of each row.
constexpr int64_t kDecodeRows = 16;
constexpr int64_t kMostDecodeRows = 1024;

inline bool IsDecoding(const AttentionProblem& p) {
  return p.queries * (p.heads / p.key_heads) <= kDecodeRows &&
         p.queries * p.heads <= kMostDecodeRows;
}

// Tasks into which all batch rows are split, and the smallest number of keys of a task: some 10
// microseconds of work.
constexpr int64_t kDecodeTasks = 16;
constexpr int64_t kDecodePart = 128;
// With a cache, the new tokens are a part too, and another one begins where the slots wrap around.
constexpr int64_t kMostDecodeParts = kDecodeTasks + 2;

// The number of tasks of a batch row.
inline int64_t NumDecodeParts(int64_t batch, int64_t keys) {
  const int64_t most = CeilDiv(kDecodeTasks, batch), parts = CeilDiv(keys, kDecodePart);
  return parts < 1 ? 1 : parts < most ? parts : most;
}

// The number of keys of each of them but the last.
inline int64_t DecodePartKeys(int64_t keys, int64_t parts) {
  return CeilDiv(CeilDiv(keys, parts), kSumColumns) * kSumColumns;
}

struct AttentionBlocks {
  // Floats of scratch memory that `forward` needs for blocks of `queries` queries.
  int64_t (*forward_scratch)(const AttentionProblem&, int64_t queries);
  // Computes queries first <= t < first + count of all heads that share a key head.
  void (*forward)(const AttentionProblem&, int64_t batch, int64_t key_head, int64_t first,
                  int64_t count, void* output, float* residual, float* scratch);

  // For few queries: processes all heads over keys begin <= s < end, without normalising. For each
  // of the T * N rows, writes the sum of weighted values [E], the maximum of the logits and the sum
  // of the weights: [T, N, E + 2] in all.
  int64_t (*decode_scratch)(const AttentionProblem&);
  void (*decode)(const AttentionProblem&, int64_t batch, int64_t begin, int64_t end, float* partial,
                 float* scratch);
  // Merges the results of `parts` calls of `decode`, in their order. `residual` may be null.
  void (*join)(const AttentionProblem&, int64_t batch, const float* partials, int64_t parts,
               void* output, float* residual);

  // Writes two arrays [B, N, T] for the gradient: the residual of each query in units of log(2),
  // +infinity if the query sees no key, and sum_e output * output_grad - residual_grad.
  void (*row_terms)(const AttentionProblem&, const AttentionGradients&, int64_t batch,
                    int64_t first, int64_t count, float* residuals, float* deltas);
  // Processes every chunks-th block of keys, starting with the chunk-th: writes the gradients of
  // key and value, and adds the share of these keys in the query gradient to query_sums [N / K, T,
  // H rounded up to kSumColumns].
  int64_t (*backward_scratch)(const AttentionProblem&);
  void (*backward)(const AttentionProblem&, const AttentionGradients&, int64_t batch,
                   int64_t key_head, int64_t chunk, int64_t chunks, const float* residuals,
                   const float* deltas, float* query_sums, float* scratch);
  // Writes the query gradient, the sum over the chunks, which are `step` floats apart.
  void (*query_grad)(const AttentionProblem&, int64_t batch, int64_t head, const float* sums,
                     int64_t chunks, int64_t step, void* query_grad);
  // Writes the gradient of one tile of the bias, which begins at `query` and `key`. All four
  // indices are the bias's, so an index is 0 where the bias has size 1.
  int64_t (*bias_scratch)(const AttentionProblem&);
  void (*bias_grad)(const AttentionProblem&, const AttentionGradients&, int64_t batch, int64_t head,
                    int64_t query, int64_t key, const float* residuals, const float* deltas,
                    float* scratch);
};

// Queries and keys per tile of `bias_grad`.
constexpr int64_t kBiasTile = 192;

// Whether blocks of that many floats stay in the cache, which other data pass through.
inline bool FitsCache(const AttentionProblem& p, int64_t floats) {
  return floats * 80 <= p.cache_bytes * 19;  // 4 bytes each, 95% of the cache
}

// Queries per block in `backward`.
constexpr int64_t kBackwardQueries = 96;

// Keys per block in `backward`: whole groups of rows, and few enough that the block's arrays fit
// the cache, of which 1 MB is enough for the most at H = 64. Each block reads all queries again,
// which took 8% of the time with blocks of 192.
constexpr int64_t kMostBackwardKeys = 384;
constexpr int64_t kFewestBackwardKeys = 48;

inline int64_t BackwardKeys(const AttentionProblem& p) {
  const int64_t row = p.size + p.value_size;
  int64_t keys = kMostBackwardKeys;
  while (keys > kFewestBackwardKeys &&
         !FitsCache(p, keys * (3 * row + 2 * kBackwardQueries) + kBackwardQueries * row)) {
    keys /= 2;
  }
  return keys;
}

// Keys per block in `forward`: 192 is a multiple of the size of every panel and group.
constexpr int64_t kForwardKeys = 192;

#define IKELOS_DECLARE_ATTENTION_BLOCKS(isa)     \
  namespace isa {                                \
  extern const AttentionBlocks kAttentionBlocks; \
  }
IKELOS_DECLARE_ATTENTION_BLOCKS(portable)
IKELOS_DECLARE_ATTENTION_BLOCKS(avx2)
IKELOS_DECLARE_ATTENTION_BLOCKS(avx512)
#undef IKELOS_DECLARE_ATTENTION_BLOCKS

}  // namespace ikelos

#endif  // IKELOS_CORE_ATTENTION_BLOCKS_H_
