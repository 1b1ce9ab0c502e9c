// Processing of logits before the softmax (bias, ALiBi slopes, masks, the band) and of weights
// after it (dropout), for tiles that are in the first-level cache. Per-ISA sources only: see
// simd.h.
#ifndef IKELOS_CORE_ATTENTION_SCORES_H_
#define IKELOS_CORE_ATTENTION_SCORES_H_

#include "core/attention.h"
#include "core/dropout.h"
#include "core/pack.h"

namespace ikelos {
namespace IKELOS_ISA {

// Logits are kept in units of log(2), because 2^x is cheaper than e^x.
constexpr float kLog2E = 1.44269504f;
constexpr float kLn2 = 0.693147181f;
constexpr float kInfinity = __builtin_inff();
constexpr float kMaskedBias = -1e30f;

// Consecutive queries of one head.
struct Queries {
  int64_t batch, head, first, count;
};

// Keys begin <= s < end.
struct Keys {
  int64_t begin, end;
};

inline int64_t Min(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t Max(int64_t a, int64_t b) { return a > b ? a : b; }

inline int64_t NumQueries(const AttentionProblem& p, int64_t batch) {
  return p.query_lengths == nullptr ? p.queries : p.query_lengths[batch];
}

inline int64_t NumKeys(const AttentionProblem& p, int64_t batch) {
  return p.key_lengths == nullptr ? p.keys : p.key_lengths[batch];
}

// Returns the keys that the band and the lengths allow for a query. Neither end of the range
// decreases from one query to the next, so the ranges of the first and the last of several queries
// bound all of them. The limits may be any 64-bit numbers: no sum overflows.
inline Keys KeysOf(const AttentionProblem& p, int64_t batch, int64_t query) {
  const int64_t keys = NumKeys(p, batch);
  const int64_t position = query + (p.query_offsets == nullptr ? 0 : p.query_offsets[batch]);
  Keys range = {0, keys};
  if (p.is_causal) {
    range.end = Min(range.end, position + 1);
  }
  if (p.window_right >= 0 && p.window_right < keys - position) {
    range.end = Min(range.end, position + p.window_right + 1);
  }
  if (p.window_left >= 0 && p.window_left < position) {
    range.begin = position - p.window_left;
  }
  range.end = Max(range.end, 0);
  range.begin = Min(range.begin, range.end);
  return range;
}

// Returns all keys that any of the queries sees.
inline Keys KeysOfAny(const AttentionProblem& p, const Queries& q) {
  return {KeysOf(p, q.batch, q.first).begin, KeysOf(p, q.batch, q.first + q.count - 1).end};
}

// Returns whether every query sees all of the keys.
inline bool AllSee(const AttentionProblem& p, const Queries& q, const Keys& keys) {
  return KeysOf(p, q.batch, q.first + q.count - 1).begin <= keys.begin &&
         KeysOf(p, q.batch, q.first).end >= keys.end;
}

// Calls CopyRows for `rows` positions of one head, from `first` on, of an array [B, positions,
// heads, columns].
inline void PackRows(Storage storage, const void* array, const RowStrides& strides, int64_t batch,
                     int64_t first, int64_t head, int64_t rows, int64_t columns, float factor,
                     float* target, int64_t target_columns, int64_t target_rows) {
  WithStorage(storage, array, [&](const auto* source) {
    CopyRows(source + batch * strides.batch + first * strides.position + head * strides.head,
             strides.position, rows, columns, factor, target, target_columns, target_rows);
  });
}

// Returns the keys of a block that any of the queries sees, from the start of a panel on, so that
// whole panels are multiplied; an empty range at the begin of the block if they see none.
inline Keys PanelsSeen(const AttentionProblem& p, const Queries& q, const Keys& block) {
  const Keys seen = KeysOfAny(p, q);
  const Keys keys = {block.begin + Max(0, seen.begin - block.begin) / kPanel * kPanel,
                     Min(block.end, seen.end)};
  return keys.begin < keys.end ? keys : Keys{block.begin, block.begin};
}

template <typename T>
inline void AddBias(const T* bias, const PairStrides& strides, const Queries& q, const Keys& keys,
                    float* scores, int64_t row) {
  bias += q.batch * strides.batch + q.head * strides.head + q.first * strides.query +
          keys.begin * strides.key;
  const int64_t count = keys.end - keys.begin;
  for (int64_t i = 0; i < q.count; ++i, bias += strides.query, scores += row) {
    for (int64_t j = 0; j < count; j += kLanes) {
      const Floats added =
          strides.key == 0 ? Broadcast(LoadPart(bias, 1)[0]) : LoadPart(bias + j, count - j);
      // Not `added > kMaskedBias`, which would hide a NaN.
      const Floats sum = Load(scores + j) + added * kLog2E;
      Store(added <= kMaskedBias ? Broadcast(-kInfinity) : sum, scores + j);
    }
  }
}

inline void ApplyMask(const uint8_t* mask, const PairStrides& strides, const Queries& q,
                      const Keys& keys, float* scores, int64_t row) {
  mask += q.batch * strides.batch + q.head * strides.head + q.first * strides.query +
          keys.begin * strides.key;
  const int64_t count = keys.end - keys.begin;
  for (int64_t i = 0; i < q.count; ++i, mask += strides.query, scores += row) {
    if (strides.key == 0) {
      if (*mask != 0) {
        continue;
      }
      for (int64_t j = 0; j < count; j += kLanes) {
        Store(Broadcast(-kInfinity), scores + j);
      }
      continue;
    }
    for (int64_t j = 0; j < count; j += kLanes) {
      Bytes bytes = {};
      std::memcpy(&bytes, mask + j, static_cast<size_t>(Min(kLanes, count - j)));
      const Integers allowed = __builtin_convertvector(bytes, Integers);
      Store(allowed == 0 ? Broadcast(-kInfinity) : Load(scores + j), scores + j);
    }
  }
}

inline Floats Iota() {
  Floats lanes;
  for (int i = 0; i < kLanes; ++i) {
    lanes[i] = static_cast<float>(i);
  }
  return lanes;
}

// Distances are exact up to 2^24.
inline void AddSlopes(const AttentionProblem& p, const Queries& q, const Keys& keys, float* scores,
                      int64_t row) {
  const float slope = p.alibi_slopes[q.head] * kLog2E;
  const int64_t offset = p.query_offsets == nullptr ? 0 : p.query_offsets[q.batch];
  for (int64_t i = 0; i < q.count; ++i, scores += row) {
    const int64_t distance = q.first + i + offset - keys.begin;
    for (int64_t j = 0; j < keys.end - keys.begin; j += kLanes) {
      const Floats signed_distance = static_cast<float>(distance - j) - Iota();
      const Floats far = signed_distance < 0.0f ? -signed_distance : signed_distance;
      Store(Load(scores + j) - slope * far, scores + j);
    }
  }
}

// Masks the keys that each query does not see, and the columns of the tile after them, up to
// `columns`.
inline void ApplyBand(const AttentionProblem& p, const Queries& q, const Keys& keys,
                      int64_t columns, float* scores, int64_t row) {
  for (int64_t i = 0; i < q.count; ++i, scores += row) {
    const Keys seen = KeysOf(p, q.batch, q.first + i);
    const int64_t left = Min(Max(seen.begin - keys.begin, 0), columns);
    const int64_t right = Max(Min(seen.end, keys.end) - keys.begin, left);
    for (int64_t j = 0; j < left; ++j) {
      scores[j] = -kInfinity;
    }
    for (int64_t j = right; j < columns; ++j) {
      scores[j] = -kInfinity;
    }
  }
}

// Turns the products of a tile into logits (in units of log(2)), -infinity where a pair is masked.
// Columns run from keys.begin; those from keys.end up to the next multiple of kLanes are masked
// too. Returns whether any of the pairs may be masked.
inline bool FinishScores(const AttentionProblem& p, const Queries& q, const Keys& keys,
                         float* scores, int64_t row) {
  if (p.bias != nullptr) {
    WithStorage(p.storage, p.bias,
                [&](const auto* bias) { AddBias(bias, p.bias_strides, q, keys, scores, row); });
  }
  if (p.alibi_slopes != nullptr) {
    AddSlopes(p, q, keys, scores, row);
  }
  if (p.mask != nullptr) {
    ApplyMask(p.mask, p.mask_strides, q, keys, scores, row);
  }
  const int64_t columns = RoundUp(keys.end - keys.begin, kLanes);
  const bool cut = columns != keys.end - keys.begin || !AllSee(p, q, keys);
  if (cut) {
    ApplyBand(p, q, keys, columns, scores, row);
  }
  return cut || p.bias != nullptr || p.mask != nullptr;
}

// Sets dropped weights to 0 and multiplies the others by 1 / (1 - rate).
struct Dropout {
  uint32_t threshold;
  float factor;

  explicit Dropout(const AttentionProblem& p)
      : threshold(DropoutThreshold(p.dropout_rate)), factor(1.0f / (1.0f - p.dropout_rate)) {}

  // For the values of kLanes keys from `key` on.
  Floats Apply(Floats values, const DropoutRow& row, int64_t key) const {
    Words x;
    for (int i = 0; i < kLanes; ++i) {
      x[i] = static_cast<uint32_t>(i);
    }
    x += row.first + static_cast<uint32_t>(key);
    x ^= x >> 16;
    x *= 0x7feb352dU;
    x ^= row.second;
    x ^= x >> 15;
    x *= 0x846ca68bU;
    x ^= x >> 16;
    // 24 bits, compared as signed integers, which every instruction set can do.
    const Integers bits = BitCast<Integers>(x >> 8);
    return bits >= static_cast<int32_t>(threshold) ? values * factor : Floats{};
  }
};

inline DropoutRow DropoutRowOf(const AttentionProblem& p, const Queries& q, int64_t row) {
  return ikelos::DropoutRowOf(p.seed, q.batch * p.heads + q.head, q.first + row);
}

// Dropout of a tile of weights, whose rows are `row` floats apart.
inline void Drop(const AttentionProblem& p, const Dropout& dropout, const Queries& q,
                 const Keys& keys, float* weights, int64_t row) {
  for (int64_t i = 0; i < q.count; ++i, weights += row) {
    const DropoutRow words = DropoutRowOf(p, q, i);
    for (int64_t j = 0; j < keys.end - keys.begin; j += kLanes) {
      Store(dropout.Apply(Load(weights + j), words, keys.begin + j), weights + j);
    }
  }
}

}  // namespace IKELOS_ISA
}  // namespace ikelos

#endif  // IKELOS_CORE_ATTENTION_SCORES_H_
