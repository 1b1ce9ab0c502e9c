// Causal self-attention of some new tokens to themselves and to earlier tokens, whose keys and
// values are in a cache; and their addition to the cache.
//
// The token at position p of a row lies in slot p % S of the cache, S being its capacity. So the
// cache never overflows if no token sees more than S positions: it then holds the last S tokens.
#ifndef IKELOS_CORE_CACHED_ATTENTION_H_
#define IKELOS_CORE_CACHED_ATTENTION_H_

#include <cstdint>

#include "core/attention.h"

namespace ikelos {

struct AttentionCache {
  int64_t capacity;          // S
  void* key;                 // [B, S, K, H]
  void* value;               // [B, S, K, E]
  const int32_t* lengths;    // [B], the number of earlier tokens: the first new one's position
  const int32_t* num_valid;  // [B], within [0, T]: new tokens that are no padding; null for T
  int32_t* rows;             // [B, S], the row of the cache that holds each slot of each row, to
                             // be updated; null if each row holds its own
};

// Whether a row of the cache has room for `count` tokens after the first `length`.
bool HasRoom(const AttentionProblem& problem, const AttentionCache& cache, int64_t length,
             int64_t count);

// The problem is that of the new tokens: its keys and values are theirs, S = T, and causality, the
// window and the slopes count positions, of which those of the cache come first. It has no bias,
// mask, lengths, offsets or dropout, and its arrays are dense, since keys are also copied. output:
// dense [B, T, N, E], 0 for padding. The keys and values of the new tokens are written to the row's
// own part of the cache when all rows have been read.
void CachedAttention(const AttentionProblem& problem, const AttentionCache& cache, void* output,
                     Isa isa, const ParallelFor& parallel_for);

}  // namespace ikelos

#endif  // IKELOS_CORE_CACHED_ATTENTION_H_
