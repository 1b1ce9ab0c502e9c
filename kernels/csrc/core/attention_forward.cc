// The forward pass of attention, in blocks of queries. Compiled once per instruction set.
#include "core/attention_blocks.h"
#include "core/attention_scores.h"
#include "core/attention_tables.h"
#include "core/softmax.h"

namespace ikelos {
namespace IKELOS_ISA {
namespace {

// Keys and values are packed in blocks of this many keys, which stay in the second-level cache
// together with the queries.
constexpr int64_t kKeys = kForwardKeys;

// The memory of one call. Rows are the queries of a block, head after head, each head padded to
// whole groups.
struct Memory {
  int64_t row_columns, value_columns;  // H and E rounded up to kLanes
  float *queries, *sums;               // [rows, row_columns], [rows, value_columns]
  float *row_max, *row_sum;            // [rows]: maximum of the logits, sum of the weights
  float *keys, *panels;                // [kKeys, row_columns], and transposed
  float* values;                       // [kKeys, value_columns]
  float* scores;                       // [kGroup, kKeys]
};

Memory LayOut(const AttentionProblem& p, int64_t queries, Scratch& scratch) {
  Memory m;
  m.row_columns = RoundUp(p.size, kLanes);
  m.value_columns = RoundUp(p.value_size, kLanes);
  const int64_t rows = p.heads / p.key_heads * RoundUp(queries, kGroup);
  m.queries = scratch.Take(rows * m.row_columns);
  m.sums = scratch.Take(rows * m.value_columns);
  m.row_max = scratch.Take(rows);
  m.row_sum = scratch.Take(rows);
  m.keys = scratch.Take(kKeys * m.row_columns);
  m.panels = scratch.Take(kKeys * m.row_columns);
  m.values = scratch.Take(kKeys * m.value_columns);
  m.scores = scratch.Take(kGroup * kKeys);
  return m;
}

// Turns the group's scores over `columns` columns into weights, and sets the factors for the sums
// so far.
inline void Weigh(float* scores, int64_t columns, float* row_max, float* row_sum, float* factors) {
  float change[kLanes];
  for (int first = 0; first < kGroup; first += kLanes) {
    const int count = kGroup - first < kLanes ? kGroup - first : kLanes;
    for (int i = 0; i < kLanes; ++i) {
      change[i] = 0;
    }
    for (int i = 0; i < count; ++i) {
      const float before = row_max[first + i];
      row_max[first + i] = RowMax(scores + (first + i) * kKeys, columns, before);
      change[i] = before - row_max[first + i];
    }
    float scaled[kLanes];
    Store(Exp2(Load(change)), scaled);
    for (int i = 0; i < count; ++i) {
      factors[first + i] = scaled[i];
    }
  }
  for (int i = 0; i < kGroup; ++i) {
    row_sum[i] = row_sum[i] * factors[i] + ToWeights(scores + i * kKeys, columns, row_max[i]);
  }
}

}  // namespace

int64_t ForwardScratch(const AttentionProblem& p, int64_t queries) {
  Scratch counted = {nullptr};
  LayOut(p, queries, counted);
  return counted.used;
}

void Forward(const AttentionProblem& p, int64_t batch, int64_t key_head, int64_t first,
             int64_t count, void* output, float* residual, float* scratch) {
  Scratch memory = {scratch};
  const Memory m = LayOut(p, count, memory);
  const int64_t heads = p.heads / p.key_heads;
  const int64_t padded = RoundUp(count, kGroup);
  const int64_t valid = Max(0, Min(count, NumQueries(p, batch) - first));
  const Dropout dropout(p);

  for (int64_t g = 0; g < heads; ++g) {
    PackRows(p.storage, p.query, p.query_strides, batch, first, key_head * heads + g, valid, p.size,
             p.scale * kLog2E, m.queries + g * padded * m.row_columns, m.row_columns, padded);
  }
  std::memset(m.sums, 0, static_cast<size_t>(heads * padded * m.value_columns) * sizeof(float));
  for (int64_t i = 0; i < heads * padded; ++i) {
    m.row_max[i] = -__FLT_MAX__;
    m.row_sum[i] = 0;
  }

  const Keys all = valid == 0 ? Keys{0, 0} : KeysOfAny(p, {batch, 0, first, valid});
  for (int64_t begin = all.begin / kKeys * kKeys; begin < all.end; begin += kKeys) {
    const Keys block = {begin, Min(begin + kKeys, all.end)};
    const int64_t present = block.end - block.begin;
    PackRows(p.storage, p.key, p.key_strides, batch, begin, key_head, present, p.size, 1.0f, m.keys,
             m.row_columns, present);
    TransposeToPanels(m.keys, present, m.row_columns, p.size, m.panels);
    PackRows(p.storage, p.value, p.value_strides, batch, begin, key_head, present, p.value_size,
             1.0f, m.values, m.value_columns, present);
    for (int64_t g = 0; g < heads; ++g) {
      for (int64_t i = 0; i < valid; i += kGroup) {
        const Queries q = {batch, key_head * heads + g, first + i, Min(kGroup, valid - i)};
        const Keys keys = PanelsSeen(p, q, block);
        if (keys.begin == keys.end) {
          continue;
        }
        const int64_t skipped = keys.begin - block.begin;
        const int64_t columns = RoundUp(keys.end - keys.begin, kLanes);
        const int64_t row = g * padded + i;
        Gemm<Into::kNew>(m.queries + row * m.row_columns, m.row_columns, 1,
                         m.panels + skipped * p.size, kPanel, kPanel * p.size, m.scores, kKeys,
                         nullptr, p.size, columns);
        FinishScores(p, q, keys, m.scores, kKeys);
        float factors[kGroup];
        Weigh(m.scores, columns, m.row_max + row, m.row_sum + row, factors);
        if (p.dropout_rate > 0) {
          Drop(p, dropout, q, keys, m.scores, kKeys);
        }
        Gemm<Into::kScaledSum>(m.scores, kKeys, 1, m.values + skipped * m.value_columns,
                               m.value_columns, kPanel, m.sums + row * m.value_columns,
                               m.value_columns, factors, keys.end - keys.begin, m.value_columns);
      }
    }
  }

  for (int64_t g = 0; g < heads; ++g) {
    const int64_t head = key_head * heads + g;
    for (int64_t i = 0; i < count; ++i) {
      const int64_t row = g * padded + i;
      const float row_sum = i < valid ? m.row_sum[row] : 0.0f;
      if (residual != nullptr) {
        residual[(batch * p.queries + first + i) * p.heads + head] =
            Residual(m.row_max[row], row_sum);
      }
      m.row_sum[row] = row_sum == 0 ? 0.0f : 1 / row_sum;
    }
    WithStorage(p.storage, output, [&](auto* out) {
      StoreRows(m.sums + g * padded * m.value_columns, m.value_columns, m.row_sum + g * padded,
                1.0f, out + ((batch * p.queries + first) * p.heads + head) * p.value_size,
                p.heads * p.value_size, count, p.value_size);
    });
  }
}

}  // namespace IKELOS_ISA
}  // namespace ikelos
