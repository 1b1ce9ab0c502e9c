// The parts of attention that are compiled once per instruction set: each a task for one thread.
#ifndef IKELOS_CORE_ATTENTION_BLOCKS_H_
#define IKELOS_CORE_ATTENTION_BLOCKS_H_

#include <cstdint>

#include "core/attention.h"

namespace ikelos {

// The decoding kernel is for at most this many queries times heads that share a key head (a group
// of 12 rows would be mostly empty), and for this many queries times heads in all, since it holds
// scores of each.
constexpr int64_t kDecodeRows = 8;
constexpr int64_t kMostDecodeRows = 1024;
constexpr int64_t kMostDecodeParts = 16;  // of the keys of a batch row

// Rows of queries are multiplied in groups of this many, and sums over keys have rows of a multiple
// of this many columns, for the widest vector has 16 floats.
constexpr int64_t kQueryGroup = 12;
constexpr int64_t kSumColumns = 16;

struct AttentionBlocks {
  // Floats of scratch for one call of `forward`, for blocks of `queries` queries.
  int64_t (*forward_scratch)(const AttentionProblem&, int64_t queries);
  // Queries first <= t < first + count of all heads that share a key head.
  void (*forward)(const AttentionProblem&, int64_t batch, int64_t key_head, int64_t first,
                  int64_t count, void* output, float* residual, float* scratch);

  // For few queries: all heads over keys begin <= s < end, unnormalised. Writes for each of the T *
  // N rows its sum of weighted values [E], the largest logit and the sum of weights: [T, N, E + 2]
  // in all.
  int64_t (*decode_scratch)(const AttentionProblem&);
  void (*decode)(const AttentionProblem&, int64_t batch, int64_t begin, int64_t end, float* partial,
                 float* scratch);
  // Joins `parts` such results, in their order.
  void (*join)(const AttentionProblem&, int64_t batch, const float* partials, int64_t parts,
               void* output, float* residual);

  // What the gradient needs of each query, [B, N, T] both: its residual in units of log(2),
  // +infinity where no key is allowed, and sum_e output * output_grad - residual_grad.
  void (*row_terms)(const AttentionProblem&, const AttentionGradients&, int64_t batch,
                    int64_t first, int64_t count, float* residuals, float* deltas);
  // Every chunks-th block of keys from the chunk-th on: writes the gradients by key and value, and
  // adds what these keys give the gradient by query to query_sums [N / K, T, H rounded up to
  // kSumColumns].
  int64_t (*backward_scratch)(const AttentionProblem&);
  void (*backward)(const AttentionProblem&, const AttentionGradients&, int64_t batch,
                   int64_t key_head, int64_t chunk, int64_t chunks, const float* residuals,
                   const float* deltas, float* query_sums, float* scratch);
  // Rounds the sum over chunks, `step` floats apart, to the gradient by query.
  void (*query_grad)(const AttentionProblem&, int64_t batch, int64_t head, const float* sums,
                     int64_t chunks, int64_t step, void* query_grad);
  // The gradient by one tile of the bias: queries and keys from `query` and `key` on, of the batch
  // and head indices of the bias as it was given.
  int64_t (*bias_scratch)(const AttentionProblem&);
  void (*bias_grad)(const AttentionProblem&, const AttentionGradients&, int64_t batch, int64_t head,
                    int64_t query, int64_t key, const float* residuals, const float* deltas,
                    float* scratch);
};

// Queries and keys of a tile of `bias_grad`.
constexpr int64_t kBiasTile = 192;

// Keys of a block in `backward`: whole groups of rows, and few enough that the block's arrays stay
// in a second-level cache of 1 MB. Each block reads all queries anew, which with blocks of 192 took
// 8% of the time at H = 64.
constexpr int64_t kMostBackwardKeys = 384;

inline int64_t BackwardKeys(const AttentionProblem& p) {
  const int64_t size = p.size > p.value_size ? p.size : p.value_size;
  return size <= 64    ? kMostBackwardKeys
         : size <= 128 ? kMostBackwardKeys / 2
                       : kMostBackwardKeys / 4;
}

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
