// Attention of few queries to many keys, as in decoding: compiled once per instruction set.
//
// Each key and value is used a few times only, so nothing is packed: what counts is to read the
// cache once, in the order it lies in memory, all heads of a position together.
#include "core/attention_blocks.h"
#include "core/attention_scores.h"
#include "core/attention_tables.h"
#include "core/exp2.h"

extern "C" float logf(float);

namespace ikelos {
namespace IKELOS_ISA {
namespace {

// Keys whose logits are held at a time.
constexpr int64_t kChunk = 128;

struct Memory {
  int64_t row_columns, value_columns;  // H and E rounded up to kLanes
  float *queries, *scores, *sums;  // [T * N, row_columns], [T * N, kChunk], [T * N, value_columns]
  float *largest, *totals;         // [T * N]
};

int64_t Lay(const AttentionProblem& p, float* start, Memory* memory) {
  Memory m;
  m.row_columns = RoundUp(p.size, kLanes);
  m.value_columns = RoundUp(p.value_size, kLanes);
  const int64_t rows = p.queries * p.heads;
  int64_t used = 0;
  const auto take = [&](int64_t count) {
    float* const taken = start + used;
    used += RoundUp(count, 16);
    return taken;
  };
  m.queries = take(rows * m.row_columns);
  m.scores = take(rows * kChunk);
  m.sums = take(rows * m.value_columns);
  m.largest = take(rows);
  m.totals = take(rows);
  if (memory != nullptr) *memory = m;
  return used;
}

// One step of adding up the lanes of kLanes rows: pairs of rows become one, whose lanes are sums of
// two.
template <int width>
inline void FoldRuns(Floats* rows) {
  Integers low, high;
  for (int i = 0; i < kLanes; ++i) {
    low[i] = i & width ? kLanes + i - width : i;
    high[i] = i & width ? kLanes + i : i + width;
  }
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; i += 2 * width) {
    const Floats upper = rows[i], lower = rows[i + width];
    rows[i] = __builtin_shuffle(upper, lower, low) + __builtin_shuffle(upper, lower, high);
  }
}

// Lane i of the result is the sum of rows[i].
inline Floats SumOfEach(Floats* rows) {
  FoldRuns<1>(rows);
  FoldRuns<2>(rows);
  if constexpr (kLanes > 4) FoldRuns<4>(rows);
  if constexpr (kLanes > 8) FoldRuns<8>(rows);
  return rows[0];
}

// Calls f with the number of vectors, up to 4 at a time, that `columns` (a multiple of kLanes)
// consist of, and the column where they begin. Four of them, the queries or the sums of a head of
// 64 on AVX-512, are held in registers over all keys.
template <int count>
struct Vectors {
  static constexpr int kCount = count;
};
template <typename F>
inline void ForVectors(int64_t columns, const F& f) {
  int64_t column = 0;
  for (; column + 4 * kLanes <= columns; column += 4 * kLanes) f(Vectors<4>(), column);
  switch ((columns - column) / kLanes) {
    case 3:
      return f(Vectors<3>(), column);
    case 2:
      return f(Vectors<2>(), column);
    case 1:
      return f(Vectors<1>(), column);
  }
}

// Products of one query with kLanes keys, of which `present` are there.
template <typename T>
inline Floats Products(const float* query, const T* keys, int64_t stride, int64_t size,
                       int64_t present) {
  Floats sums[kLanes];
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) sums[i] = Floats{};
  if (present >= kLanes && size % kLanes == 0) {
    ForVectors(size, [&](auto vectors, int64_t column) {
      constexpr int kCount = decltype(vectors)::kCount;
      Floats q[kCount];
      for (int j = 0; j < kCount; ++j) q[j] = Load(query + column + j * kLanes);
      const T* key = keys + column;
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i, key += stride) {
#pragma GCC unroll 4
        for (int j = 0; j < kCount; ++j) sums[i] += q[j] * Load(key + j * kLanes);
      }
    });
  } else {
    for (int i = 0; i < Min(present, kLanes); ++i, keys += stride) {
      for (int64_t h = 0; h < size; h += kLanes) {
        sums[i] += Load(query + h) * LoadPart(keys + h, size - h);
      }
    }
  }
  return SumOfEach(sums);
}

// sums += weights * values, for kLanes values of which `present` are there.
template <typename T>
inline void AddValues(const float* weights, const T* values, int64_t stride, int64_t size,
                      int64_t present, float* sums) {
  if (present >= kLanes && size % kLanes == 0) {
    ForVectors(size, [&](auto vectors, int64_t column) {
      constexpr int kCount = decltype(vectors)::kCount;
      Floats sum[kCount];
      for (int j = 0; j < kCount; ++j) sum[j] = Load(sums + column + j * kLanes);
      const T* value = values + column;
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i, value += stride) {
#pragma GCC unroll 4
        for (int j = 0; j < kCount; ++j) sum[j] += weights[i] * Load(value + j * kLanes);
      }
      for (int j = 0; j < kCount; ++j) Store(sum[j], sums + column + j * kLanes);
    });
  } else {
    for (int i = 0; i < Min(present, kLanes); ++i, values += stride) {
      for (int64_t e = 0; e < size; e += kLanes) {
        Store(Load(sums + e) + weights[i] * LoadPart(values + e, size - e), sums + e);
      }
    }
  }
}

// Turns a row of scores into weights; returns what the sums so far are to be multiplied by.
inline float Weigh(float* scores, int64_t columns, float* largest, float* total) {
  Floats most = Broadcast(*largest);
  for (int64_t j = 0; j < columns; j += kLanes) most = Max(most, Load(scores + j));
  const float before = *largest;
  *largest = Max(most);
  const float factor = Exp2(Broadcast(before - *largest))[0];
  Floats sum = {};
  for (int64_t j = 0; j < columns; j += kLanes) {
    const Floats weights = Exp2(Load(scores + j) - *largest);
    sum += weights;
    Store(weights, scores + j);
  }
  *total = *total * factor + Sum(sum);
  return factor;
}

}  // namespace

int64_t DecodeScratch(const AttentionProblem& p) { return Lay(p, nullptr, nullptr); }

void Decode(const AttentionProblem& p, int64_t batch, int64_t begin, int64_t end, float* partial,
            float* scratch) {
  Memory m;
  Lay(p, scratch, &m);
  const int64_t heads = p.heads / p.key_heads;
  const int64_t rows = p.queries * p.heads;
  const int64_t valid = NumQueries(p, batch);
  const Dropout dropout(p);

  for (int64_t t = 0; t < p.queries; ++t) {
    WithStorage(p.storage, p.query, [&](const auto* query) {
      CopyRows(query + batch * p.query_strides.batch + t * p.query_strides.position,
               p.query_strides.head, p.heads, p.size, p.scale * kLog2E,
               m.queries + t * p.heads * m.row_columns, m.row_columns, p.heads);
    });
  }
  std::memset(m.sums, 0, static_cast<size_t>(rows * m.value_columns) * sizeof(float));
  for (int64_t i = 0; i < rows; ++i) {
    m.largest[i] = -__FLT_MAX__;
    m.totals[i] = 0;
  }

  Keys all = valid == 0 ? Keys{0, 0} : KeysOfAny(p, {batch, 0, 0, valid});
  all = {Max(all.begin, begin), Min(all.end, end)};
  for (int64_t first = all.begin; first < all.end; first += kChunk) {
    const Keys keys = {first, Min(first + kChunk, all.end)};
    const int64_t count = keys.end - keys.begin;
    WithStorage(p.storage, p.key, [&](const auto* key) {
      for (int64_t j = 0; j < count; j += kLanes) {
        const auto* position =
            key + batch * p.key_strides.batch + (first + j) * p.key_strides.position;
        for (int64_t k = 0; k < p.key_heads; ++k) {
          for (int64_t t = 0; t < valid; ++t) {
            for (int64_t n = k * heads; n < (k + 1) * heads; ++n) {
              const int64_t row = t * p.heads + n;
              Store(Products(m.queries + row * m.row_columns, position + k * p.key_strides.head,
                             p.key_strides.position, p.size, count - j),
                    m.scores + row * kChunk + j);
            }
          }
        }
      }
    });
    for (int64_t t = 0; t < valid; ++t) {
      for (int64_t n = 0; n < p.heads; ++n) {
        const int64_t row = t * p.heads + n;
        const Queries q = {batch, n, t, 1};
        float* const scores = m.scores + row * kChunk;
        FinishScores(p, q, keys, scores, kChunk);
        const float factor = Weigh(scores, RoundUp(count, kLanes), m.largest + row, m.totals + row);
        if (p.dropout_rate > 0) {
          const DropoutRow dropped = DropoutRowOf(p, q, 0);
          for (int64_t j = 0; j < count; j += kLanes) {
            Store(dropout.Apply(Load(scores + j), dropped, first + j), scores + j);
          }
        }
        if (factor == 1) continue;
        float* const sums = m.sums + row * m.value_columns;
        for (int64_t e = 0; e < m.value_columns; e += kLanes) {
          Store(Load(sums + e) * factor, sums + e);
        }
      }
    }
    WithStorage(p.storage, p.value, [&](const auto* value) {
      for (int64_t j = 0; j < count; j += kLanes) {
        const auto* position =
            value + batch * p.value_strides.batch + (first + j) * p.value_strides.position;
        for (int64_t k = 0; k < p.key_heads; ++k) {
          for (int64_t t = 0; t < valid; ++t) {
            for (int64_t n = k * heads; n < (k + 1) * heads; ++n) {
              const int64_t row = t * p.heads + n;
              AddValues(m.scores + row * kChunk + j, position + k * p.value_strides.head,
                        p.value_strides.position, p.value_size, count - j,
                        m.sums + row * m.value_columns);
            }
          }
        }
      }
    });
  }

  for (int64_t i = 0; i < rows; ++i, partial += p.value_size + 2) {
    std::memcpy(partial, m.sums + i * m.value_columns,
                static_cast<size_t>(p.value_size) * sizeof(float));
    partial[p.value_size] = m.largest[i];
    partial[p.value_size + 1] = m.totals[i];
  }
}

void Join(const AttentionProblem& p, int64_t batch, const float* partials, int64_t parts,
          void* output, float* residual) {
  const int64_t rows = p.queries * p.heads;
  const int64_t row_size = p.value_size + 2;
  WithStorage(p.storage, output, [&](auto* out) {
    for (int64_t i = 0; i < rows; ++i) {
      const float* const first = partials + i * row_size;
      const auto part = [&](int64_t k) { return first + k * rows * row_size; };
      float largest = -__FLT_MAX__;
      for (int64_t k = 0; k < parts; ++k) {
        const float candidate = part(k)[p.value_size];
        largest = largest > candidate ? largest : candidate;
      }
      const auto factor = [&](int64_t k) {
        return Exp2(Broadcast(part(k)[p.value_size] - largest))[0];
      };
      float total = 0;
      for (int64_t k = 0; k < parts; ++k) total += part(k)[p.value_size + 1] * factor(k);
      const int64_t row = batch * rows + i;
      residual[row] = total == 0 ? -kInfinity : largest * kLn2 + logf(total);
      const float inverse = total == 0 ? 0 : 1 / total;
      for (int64_t e = 0; e < p.value_size; e += kLanes) {
        const int64_t left = p.value_size - e;
        Floats sum = {};
        for (int64_t k = 0; k < parts; ++k) sum += LoadPart(part(k) + e, left) * factor(k);
        StorePart(sum * inverse, out + row * p.value_size + e, left);
      }
    }
  });
}

}  // namespace IKELOS_ISA
}  // namespace ikelos
