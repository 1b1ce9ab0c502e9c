// The gradient of attention, in blocks of keys. Compiled once per instruction set.
//
// With weights W = softmax(logits) and the loss's gradients dO of the output and dR of the
// residual, for each query
//   delta    = sum_e output * dO - dR
//   dlogits  = W * (dO value^T - delta)
//   dvalue   = W^T dO,   dkey = scale * dlogits^T query,   dquery = scale * dlogits key
// (Dao et al. 2022, appendix B.4). W is recomputed from the residual. With dropout, W in dvalue and
// dO value^T in dlogits are multiplied by 1 / (1 - rate) at kept weights and by 0 at the others.
#include "core/attention_blocks.h"
#include "core/attention_scores.h"
#include "core/attention_tables.h"
#include "core/exp2.h"

namespace ikelos {
namespace IKELOS_ISA {
namespace {

constexpr int64_t kQueries = kBackwardQueries;

static_assert(kQueryGroup == kGroup && kSumColumns % kLanes == 0, "what attention.cc counts with");
static_assert(kFewestBackwardKeys % kGroup == 0 && kQueries % kGroup == 0, "whole groups");

struct Memory {
  int64_t most_keys;                                 // of a block, and so of a row of the tiles
  int64_t row_columns, value_columns;                // H and E rounded up to kLanes
  float *keys, *key_panels, *values, *value_panels;  // a block of keys: rows, and transposed
  float *key_sums, *value_sums;                      // its gradients
  float *queries, *output_grads;  // a block of queries, times scale * log2(e); rows of dO
  float *weights, *logit_grads;   // [kQueries, most_keys]: W after dropout, dlogits
};

Memory LayOut(const AttentionProblem& p, Scratch& scratch) {
  Memory m;
  m.most_keys = BackwardKeys(p);
  m.row_columns = RoundUp(p.size, kLanes);
  m.value_columns = RoundUp(p.value_size, kLanes);
  m.keys = scratch.Take(m.most_keys * m.row_columns);
  m.key_panels = scratch.Take(RoundUp(m.most_keys, kPanel) * m.row_columns);
  m.values = scratch.Take(m.most_keys * m.value_columns);
  m.value_panels = scratch.Take(RoundUp(m.most_keys, kPanel) * m.value_columns);
  m.key_sums = scratch.Take(m.most_keys * m.row_columns);
  m.value_sums = scratch.Take(m.most_keys * m.value_columns);
  m.queries = scratch.Take(kQueries * m.row_columns);
  m.output_grads = scratch.Take(kQueries * m.value_columns);
  m.weights = scratch.Take(kQueries * m.most_keys);
  m.logit_grads = scratch.Take(kQueries * m.most_keys);
  return m;
}

// Leaves out positions beyond the length of the batch row, whatever they hold, because nothing
// reads them.
void PackKeys(const AttentionProblem& p, int64_t batch, int64_t key_head, const Keys& block,
              const Memory& m) {
  const int64_t count = Min(block.end, NumKeys(p, batch)) - block.begin;
  if (count <= 0) {
    return;
  }
  PackRows(p.storage, p.key, p.key_strides, batch, block.begin, key_head, count, p.size, 1.0f,
           m.keys, m.row_columns, count);
  PackRows(p.storage, p.value, p.value_strides, batch, block.begin, key_head, count, p.value_size,
           1.0f, m.values, m.value_columns, count);
  TransposeToPanels(m.keys, count, m.row_columns, p.size, m.key_panels);
  TransposeToPanels(m.values, count, m.value_columns, p.value_size, m.value_panels);
}

void PackQueries(const AttentionProblem& p, const AttentionGradients& gradients, const Queries& q,
                 const Memory& m) {
  const int64_t padded = RoundUp(q.count, kGroup);
  PackRows(p.storage, p.query, p.query_strides, q.batch, q.first, q.head, q.count, p.size,
           p.scale * kLog2E, m.queries, m.row_columns, padded);
  const int64_t position = p.heads * p.value_size;
  const RowStrides dense = {p.queries * position, position, p.value_size};
  PackRows(p.storage, gradients.output_grad, dense, q.batch, q.first, q.head, q.count, p.value_size,
           1.0f, m.output_grads, m.value_columns, padded);
}

// Computes one row of weights and dlogits from the row's logits (in `weights`) and its products of
// dO with the values (in `logit_grads`). With `guarded`, pairs may be masked: their weight is 0
// even if the residual or delta is NaN.
template <bool guarded, bool dropping>
void WeighAndSlopeRow(const Dropout& dropout, const DropoutRow& dropout_row, int64_t first_key,
                      int64_t columns, Floats residual, Floats delta, float* weights,
                      float* logit_grads) {
  for (int64_t j = 0; j < columns; j += kLanes) {
    const Floats logits = Load(weights + j);
    Floats weight = Exp2(logits - residual);
    Floats product = Load(logit_grads + j);
    Floats kept = weight;
    if constexpr (dropping) {
      product = dropout.Apply(product, dropout_row, first_key + j);
      kept = dropout.Apply(weight, dropout_row, first_key + j);
    }
    Floats slope = weight * (product - delta);
    if constexpr (guarded) {
      kept = logits == -kInfinity ? Floats{} : kept;
      slope = logits == -kInfinity ? Floats{} : slope;
    }
    Store(kept, weights + j);
    Store(slope, logit_grads + j);
  }
}

// Does the same for a group of queries. Rows after the last query become 0.
void WeighAndSlope(const AttentionProblem& p, const Dropout& dropout, const Queries& q,
                   const Keys& keys, const float* residuals, const float* deltas, float* weights,
                   float* logit_grads, int64_t row) {
  const int64_t columns = RoundUp(keys.end - keys.begin, kLanes);
  const bool guarded = FinishScores(p, q, keys, weights, row);
  const bool dropping = p.dropout_rate > 0;
  const auto row_of =
      dropping ? (guarded ? WeighAndSlopeRow<true, true> : WeighAndSlopeRow<false, true>)
               : (guarded ? WeighAndSlopeRow<true, false> : WeighAndSlopeRow<false, false>);
  for (int64_t i = 0; i < q.count; ++i) {
    row_of(dropout, DropoutRowOf(p, q, i), keys.begin, columns, Broadcast(residuals[i]),
           Broadcast(deltas[i]), weights + i * row, logit_grads + i * row);
  }
  for (int64_t i = q.count; i < kGroup; ++i) {
    std::memset(weights + i * row, 0, static_cast<size_t>(columns) * sizeof(float));
    std::memset(logit_grads + i * row, 0, static_cast<size_t>(columns) * sizeof(float));
  }
}

// Fills the rows of both tiles for the group of `q`, whose first row in the block is `row`. Returns
// the range of filled keys, which begins at a panel; it is empty if the queries see no key of the
// block.
Keys FillTiles(const AttentionProblem& p, const Dropout& dropout, const Queries& q, int64_t row,
               const Keys& block, const float* residuals, const float* deltas, const Memory& m) {
  const Keys keys = PanelsSeen(p, q, block);
  if (keys.begin == keys.end) {
    return keys;
  }
  const int64_t skipped = keys.begin - block.begin;
  const int64_t columns = RoundUp(keys.end - keys.begin, kLanes);
  float* const weights = m.weights + row * m.most_keys + skipped;
  float* const logit_grads = m.logit_grads + row * m.most_keys + skipped;
  Gemm<Into::kNew>(m.queries + row * m.row_columns, m.row_columns, 1,
                   m.key_panels + skipped * p.size, kPanel, kPanel * p.size, weights, m.most_keys,
                   nullptr, p.size, columns);
  Gemm<Into::kNew>(m.output_grads + row * m.value_columns, m.value_columns, 1,
                   m.value_panels + skipped * p.value_size, kPanel, kPanel * p.value_size,
                   logit_grads, m.most_keys, nullptr, p.value_size, columns);
  WeighAndSlope(p, dropout, q, keys, residuals, deltas, weights, logit_grads, m.most_keys);
  return keys;
}

// Returns whether no query sees any of the keys.
bool Misses(const AttentionProblem& p, const Queries& q, const Keys& block) {
  const Keys any = KeysOfAny(p, q);
  return any.end <= block.begin || any.begin >= block.end || any.begin >= any.end;
}

// Sets the tiles to 0 for keys that some of the queries don't see and FillTiles will skip.
void ClearTiles(const Queries& q, const Keys& block, const Memory& m) {
  const auto bytes = static_cast<size_t>(RoundUp(block.end - block.begin, kGroup)) * sizeof(float);
  for (int64_t i = 0; i < RoundUp(q.count, kGroup); ++i) {
    std::memset(m.weights + i * m.most_keys, 0, bytes);
    std::memset(m.logit_grads + i * m.most_keys, 0, bytes);
  }
}

}  // namespace

int64_t BackwardScratch(const AttentionProblem& p) {
  Scratch counted = {nullptr};
  LayOut(p, counted);
  return counted.used;
}

void RowTerms(const AttentionProblem& p, const AttentionGradients& gradients, int64_t batch,
              int64_t first, int64_t count, float* residuals, float* deltas) {
  const auto fill = [&](const auto* output, const auto* output_grad) {
    for (int64_t t = first; t < first + count; ++t) {
      for (int64_t n = 0; n < p.heads; ++n) {
        const int64_t source = (batch * p.queries + t) * p.heads + n;
        const int64_t target = (batch * p.heads + n) * p.queries + t;
        const auto* o = output + source * p.value_size;
        const auto* d = output_grad + source * p.value_size;
        Floats sum = {};
        for (int64_t e = 0; e < p.value_size; e += kLanes) {
          sum += LoadPart(o + e, p.value_size - e) * LoadPart(d + e, p.value_size - e);
        }
        const float residual = gradients.residual[source];
        residuals[target] = residual == -kInfinity ? kInfinity : residual * kLog2E;
        deltas[target] =
            Sum(sum) - (gradients.residual_grad == nullptr ? 0 : gradients.residual_grad[source]);
      }
    }
  };
  WithStorage(p.storage, gradients.output, [&](const auto* output) {
    using T = decltype(output);
    fill(output, static_cast<T>(gradients.output_grad));
  });
}

void Backward(const AttentionProblem& p, const AttentionGradients& gradients, int64_t batch,
              int64_t key_head, int64_t chunk, int64_t chunks, const float* residuals,
              const float* deltas, float* query_sums, float* scratch) {
  Scratch memory = {scratch};
  const Memory m = LayOut(p, memory);
  const int64_t heads = p.heads / p.key_heads;
  const int64_t valid = NumQueries(p, batch);
  const int64_t sum_columns = RoundUp(p.size, kSumColumns);
  const Dropout dropout(p);
  if (p.queries > 0) {  // otherwise there is no memory to clear
    std::memset(query_sums, 0,
                static_cast<size_t>(heads * p.queries * sum_columns) * sizeof(float));
  }

  for (int64_t begin = chunk * m.most_keys; begin < p.keys; begin += chunks * m.most_keys) {
    const Keys block = {begin, Min(begin + m.most_keys, p.keys)};
    const int64_t present = block.end - block.begin;
    PackKeys(p, batch, key_head, block, m);
    std::memset(m.key_sums, 0, static_cast<size_t>(m.most_keys * m.row_columns) * sizeof(float));
    std::memset(m.value_sums, 0,
                static_cast<size_t>(m.most_keys * m.value_columns) * sizeof(float));

    for (int64_t g = 0; g < heads; ++g) {
      const int64_t head = key_head * heads + g;
      const int64_t terms = (batch * p.heads + head) * p.queries;
      for (int64_t first = 0; first < valid; first += kQueries) {
        const Queries q = {batch, head, first, Min(kQueries, valid - first)};
        if (Misses(p, q, block)) {
          continue;
        }
        PackQueries(p, gradients, q, m);
        if (!AllSee(p, q, block)) {
          ClearTiles(q, block, m);
        }
        int64_t group_end[kMostBackwardKeys / kGroup] = {};
        int64_t group_begin[kMostBackwardKeys / kGroup];
        for (int64_t& begin_of : group_begin) {
          begin_of = kQueries;
        }
        for (int64_t i = 0; i < q.count; i += kGroup) {
          const Queries group = {batch, head, first + i, Min(kGroup, q.count - i)};
          const Keys keys = FillTiles(p, dropout, group, i, block, residuals + terms + first + i,
                                      deltas + terms + first + i, m);
          if (keys.begin == keys.end) {
            continue;
          }
          const int64_t skipped = keys.begin - block.begin;
          // The accumulator has no rows for the rest of a partial group.
          float* const sums = query_sums + (g * p.queries + first + i) * sum_columns;
          float spare[kGroup * kMostSize];
          const bool whole = group.count == kGroup;
          if (!whole) {
            std::memcpy(spare, sums,
                        static_cast<size_t>(group.count * sum_columns) * sizeof(float));
          }
          Gemm<Into::kSum>(m.logit_grads + i * m.most_keys + skipped, m.most_keys, 1,
                           m.keys + skipped * m.row_columns, m.row_columns, kPanel,
                           whole ? sums : spare, sum_columns, nullptr, keys.end - keys.begin,
                           m.row_columns);
          if (!whole) {
            std::memcpy(sums, spare,
                        static_cast<size_t>(group.count * sum_columns) * sizeof(float));
          }
          // Groups of keys that these queries see.
          for (int64_t k = skipped / kGroup; k * kGroup < keys.end - block.begin; ++k) {
            group_begin[k] = Min(group_begin[k], i);
            group_end[k] = i + kGroup;
          }
        }
        for (int64_t k = 0; k * kGroup < present; ++k) {
          const int64_t from = group_begin[k];
          const int64_t depth = group_end[k] - from;
          if (depth <= 0) {
            continue;
          }
          Gemm<Into::kSum>(m.weights + from * m.most_keys + k * kGroup, 1, m.most_keys,
                           m.output_grads + from * m.value_columns, m.value_columns, kPanel,
                           m.value_sums + k * kGroup * m.value_columns, m.value_columns, nullptr,
                           depth, m.value_columns);
          Gemm<Into::kSum>(m.logit_grads + from * m.most_keys + k * kGroup, 1, m.most_keys,
                           m.queries + from * m.row_columns, m.row_columns, kPanel,
                           m.key_sums + k * kGroup * m.row_columns, m.row_columns, nullptr, depth,
                           m.row_columns);
        }
      }
    }

    const int64_t row = (batch * p.keys + begin) * p.key_heads + key_head;
    WithStorage(p.storage, gradients.key_grad, [&](auto* key_grad) {
      StoreRows(m.key_sums, m.row_columns, nullptr, kLn2, key_grad + row * p.size,
                p.key_heads * p.size, present, p.size);
    });
    WithStorage(p.storage, gradients.value_grad, [&](auto* value_grad) {
      StoreRows(m.value_sums, m.value_columns, nullptr, 1.0f, value_grad + row * p.value_size,
                p.key_heads * p.value_size, present, p.value_size);
    });
  }
}

void QueryGrad(const AttentionProblem& p, int64_t batch, int64_t head, const float* sums,
               int64_t chunks, int64_t step, void* query_grad) {
  const int64_t sum_columns = RoundUp(p.size, kSumColumns);
  WithStorage(p.storage, query_grad, [&](auto* grad) {
    for (int64_t t = 0; t < p.queries; ++t) {
      auto* const row = grad + ((batch * p.queries + t) * p.heads + head) * p.size;
      for (int64_t h = 0; h < p.size; h += kLanes) {
        Floats sum = {};
        for (int64_t c = 0; c < chunks; ++c) {
          sum += Load(sums + c * step + t * sum_columns + h);
        }
        StorePart(sum * p.scale, row + h, p.size - h);
      }
    }
  });
}

int64_t BiasScratch(const AttentionProblem& p) {
  return BackwardScratch(p) + kBiasTile * kBiasTile;
}

// If the bias is broadcast, several query-key pairs share an element, and its gradient is the sum
// of theirs. So one task visits all pairs of a tile, in a fixed order on one thread. A bias of one
// element is therefore a single task.
void BiasGrad(const AttentionProblem& p, const AttentionGradients& gradients, int64_t batch,
              int64_t head, int64_t query, int64_t key, const float* residuals, const float* deltas,
              float* scratch) {
  static_assert(kBiasTile % kQueries == 0, "tiles are cut into whole blocks of queries");
  Scratch memory = {scratch};
  const Memory m = LayOut(p, memory);
  float* const sums = memory.Take(kBiasTile * kBiasTile);
  const int64_t* const sizes = gradients.bias_grad_sizes;
  const bool one_batch = sizes[0] == 1, one_head = sizes[1] == 1;
  const bool one_query = sizes[2] == 1, one_key = sizes[3] == 1;
  const int64_t last_query = one_query ? p.queries : Min(query + kBiasTile, p.queries);
  const int64_t last_key = one_key ? p.keys : Min(key + kBiasTile, p.keys);
  const int64_t rows = one_query ? 1 : last_query - query;
  const int64_t columns = one_key ? 1 : last_key - key;
  const Dropout dropout(p);
  std::memset(sums, 0, kBiasTile * kBiasTile * sizeof(float));

  for (int64_t b = one_batch ? 0 : batch; b < (one_batch ? p.batch : batch + 1); ++b) {
    const int64_t valid = Min(last_query, NumQueries(p, b));
    for (int64_t n = one_head ? 0 : head; n < (one_head ? p.heads : head + 1); ++n) {
      const int64_t terms = (b * p.heads + n) * p.queries;
      for (int64_t begin = one_key ? 0 : key; begin < last_key; begin += m.most_keys) {
        const Keys block = {begin, Min(begin + m.most_keys, last_key)};
        PackKeys(p, b, n / (p.heads / p.key_heads), block, m);
        for (int64_t first = one_query ? 0 : query; first < valid; first += kQueries) {
          const Queries q = {b, n, first, Min(kQueries, valid - first)};
          if (Misses(p, q, block)) {
            continue;
          }
          PackQueries(p, gradients, q, m);
          for (int64_t i = 0; i < q.count; i += kGroup) {
            const Queries group = {b, n, first + i, Min(kGroup, q.count - i)};
            const Keys keys = FillTiles(p, dropout, group, i, block, residuals + terms + first + i,
                                        deltas + terms + first + i, m);
            for (int64_t r = 0; r < group.count; ++r) {
              float* const target = sums + (one_query ? 0 : first + i + r - query) * kBiasTile;
              const float* const logit_grads = m.logit_grads + (i + r) * m.most_keys;
              Floats sum = {};
              for (int64_t s = keys.begin; s < keys.end; s += kLanes) {
                const Floats part = LoadPart(logit_grads + s - block.begin, keys.end - s);
                if (one_key) {
                  sum += part;
                } else {
                  Store(Load(target + s - key) + part, target + s - key);
                }
              }
              if (one_key) {
                target[0] += Sum(sum);
              }
            }
          }
        }
      }
    }
  }

  const int64_t row = ((one_batch ? 0 : batch) * sizes[1] + (one_head ? 0 : head)) * sizes[2] +
                      (one_query ? 0 : query);
  WithStorage(p.storage, gradients.bias_grad, [&](auto* bias_grad) {
    StoreRows(sums, kBiasTile, nullptr, 1.0f, bias_grad + row * sizes[3] + (one_key ? 0 : key),
              sizes[3], rows, columns);
  });
}

}  // namespace IKELOS_ISA
}  // namespace ikelos
