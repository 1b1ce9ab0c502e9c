// Scaled dot-product attention with grouped heads (Vaswani et al. 2017, section 3.2.1; Ainslie et
// al. 2023):
//
//   logits[b, n, t, s] = scale * sum_h query[b, t, n, h] * key[b, s, n / (N / K), h]
//                        + bias[b, n, t, s]
//                        - alibi_slopes[n] * |t + query_offsets[b] - s|
//   output[b, t, n, e] = sum_s softmax_s(logits)[b, n, t, s] * value[b, s, n / (N / K), e]
//   residual[b, t, n]  = log(sum_s exp(logits[b, n, t, s]))
//
// over the allowed pairs. A pair is masked if its mask is 0, its bias is -1e30 or less, or it lies
// outside the band of is_causal and the window or beyond a length. A query that is masked from
// every key, or lies beyond its length, has output 0, residual -infinity and gradient 0. No array
// of T * S elements is ever allocated: the softmax is computed block by block (Milakov and
// Gimelshein 2018; Dao et al. 2022), and the gradient recomputes the weights from the residual.
//
// Keys and values beyond a length are never read. At other masked pairs they must be finite,
// because their weight is 0 and 0 * NaN is NaN; so must queries and output gradients, for the
// gradients of keys that they do not see.
//
// Arithmetic is in float32 whatever the storage, and rounded once at the end. Results don't depend
// on parallel_for.
#ifndef IKELOS_CORE_ATTENTION_H_
#define IKELOS_CORE_ATTENTION_H_

#include <cstdint>

#include "core/half.h"
#include "core/isa.h"
#include "core/parallel.h"

namespace ikelos {

constexpr int64_t kMostSize = 256;

// Strides in elements; the last axis is dense.
struct RowStrides {
  int64_t batch, position, head;
};

// Strides of an array that is broadcast to [B, N, T, S]: 0 along an axis of size 1. The stride of
// the keys is 0 or 1.
struct PairStrides {
  int64_t batch, head, query, key;
};

struct AttentionProblem {
  int64_t batch;       // B
  int64_t queries;     // T
  int64_t keys;        // S
  int64_t heads;       // N
  int64_t key_heads;   // K, divides N
  int64_t size;        // H, of query and key: 1 to kMostSize
  int64_t value_size;  // E, of value and output: 1 to kMostSize

  Storage storage;    // of query, key, value, bias, output and their gradients
  const void* query;  // [B, T, N, H]
  const void* key;    // [B, S, K, H]
  const void* value;  // [B, S, K, E]
  RowStrides query_strides, key_strides, value_strides;
  // [S]: the batch row of key and value that holds each position, the same for all rows; null if
  // each row has its own. Only the decoding kernel reads it.
  const int32_t* key_rows;

  // The following inputs may be absent; their pointers are null then.
  const void* bias;
  PairStrides bias_strides;
  const uint8_t* mask;  // 0 or 1
  PairStrides mask_strides;
  const int32_t* query_lengths;  // [B], within [0, T]
  const int32_t* key_lengths;    // [B], within [0, S]
  const int32_t* query_offsets;  // [B]
  const float* alibi_slopes;     // [N]

  float scale;
  bool is_causal;        // masks s > t + query_offsets[b]
  int64_t window_left;   // masks s < t + query_offsets[b] - window_left; -1: no limit
  int64_t window_right;  // masks s > t + query_offsets[b] + window_right; -1: no limit

  // Bytes of the cache that blocks of keys and queries must fit. Sums are split at the ends of
  // blocks, so results of machines with different caches may differ in the last bits.
  int64_t cache_bytes;

  // Dropped weights become 0, the others are divided by 1 - rate. A hash of the seed and the pair's
  // indices decides which weights are dropped, in the gradient too: see dropout.h.
  float dropout_rate;  // within [0, 1)
  uint32_t seed[2];
};

// output: dense [B, T, N, E]. residual: dense [B, T, N], or null if it is not wanted.
void Attention(const AttentionProblem& problem, void* output, float* residual, Isa isa,
               const ParallelFor& parallel_for);

// Dense arrays: the results of Attention, their gradients (null for a residual gradient of 0), and
// the gradients to write, of query [B, T, N, H], key [B, S, K, H], value [B, S, K, E] and bias
// (null if not wanted). The bias gradient is summed to the sizes of the bias as given,
// bias_grad_sizes: [B or 1, N or 1, T or 1, S or 1]. Mask, lengths, offsets and slopes have no
// gradient.
struct AttentionGradients {
  const void* output;
  const float* residual;
  const void* output_grad;
  const float* residual_grad;
  void* query_grad;
  void* key_grad;
  void* value_grad;
  void* bias_grad;
  int64_t bias_grad_sizes[4];
};

// Returns the number of floats of scratch memory that AttentionGrad needs: about B * T * N * (H +
// 2), or up to 32 MB if that is less.
int64_t AttentionGradScratch(const AttentionProblem& problem);

void AttentionGrad(const AttentionProblem& problem, const AttentionGradients& gradients,
                   float* scratch, Isa isa, const ParallelFor& parallel_for);

}  // namespace ikelos

#endif  // IKELOS_CORE_ATTENTION_H_
