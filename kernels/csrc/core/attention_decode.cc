// Attention of a few queries to many keys, as in decoding. Compiled once per instruction set.
//
// Each key and value is used only a few times, so nothing is packed. The cache is read once, in the
// order of memory: position by position, with all heads. From main memory, this order reached 23
// GB/s per core. Head by head, 16 positions at a time reached 17 GB/s, 4 positions at a time 9, and
// one head after the other 7.
#include "core/attention_blocks.h"
#include "core/attention_scores.h"
#include "core/attention_tables.h"
#include "core/softmax.h"

namespace ikelos {
namespace IKELOS_ISA {
namespace {

// Keys whose logits are held at a time.
constexpr int64_t kChunk = 128;

// Number of products whose lanes are summed together, and of rows that read a value together.
constexpr int64_t kTogether = 4;

// Positions whose values are added while the sums are in registers.
constexpr int64_t kPositions = 16;

// Rows are queries, in the order in which their keys lie in memory: [N, T], with only the valid
// part of T.
struct Memory {
  int64_t row_columns, value_columns;  // H and E rounded up to kLanes
  float *queries, *scores, *sums;      // [rows, row_columns], [rows, kChunk], [rows, value_columns]
  float *row_max, *row_sum;            // [rows]
  int64_t *key_offsets, *value_offsets;  // [rows]: of the row's head, from the start of a position
};

Memory LayOut(const AttentionProblem& p, Scratch& scratch) {
  Memory m;
  m.row_columns = RoundUp(p.size, kLanes);
  m.value_columns = RoundUp(p.value_size, kLanes);
  const int64_t rows = RoundUp(p.queries * p.heads, kTogether);
  m.queries = scratch.Take(rows * m.row_columns);
  m.scores = scratch.Take(rows * kChunk);
  m.sums = scratch.Take(rows * m.value_columns);
  m.row_max = scratch.Take(rows);
  m.row_sum = scratch.Take(rows);
  m.key_offsets = reinterpret_cast<int64_t*>(scratch.Take(2 * rows));
  m.value_offsets = reinterpret_cast<int64_t*>(scratch.Take(2 * rows));
  return m;
}

// Adds neighbouring runs of `width` lanes of two rows. Lanes of the result whose index has the bit
// `width` hold sums of the lower row, the others sums of the upper row.
template <int width>
inline Floats Fold(Floats upper, Floats lower) {
  return LowRuns<width>(upper, lower) + HighRuns<width>(upper, lower);
}

// Lane i < kTogether of the result is the sum of rows[i].
inline Floats SumOfEach(const Floats* rows) {
  static_assert(kTogether == 4, "two folds");
  Floats sums = Fold<2>(Fold<1>(rows[0], rows[1]), Fold<1>(rows[2], rows[3]));
  if constexpr (kLanes > 4) {
    sums += SwapRuns<4>(sums);
  }
  if constexpr (kLanes > 8) {
    sums += SwapRuns<8>(sums);
  }
  return sums;
}

// Calls f(number of vectors, first column) for `columns`, a multiple of kLanes: for `most` vectors
// at a time, then for one.
template <int count>
struct Vectors {
  static constexpr int kCount = count;
};
template <int most, typename F>
inline void ForVectors(int64_t columns, const F& f) {
  int64_t column = 0;
  for (; column + most * kLanes <= columns; column += most * kLanes) {
    f(Vectors<most>(), column);
  }
  for (; column < columns; column += kLanes) {
    f(Vectors<1>(), column);
  }
}

// Computes the products of kTogether queries, which are `row_columns` apart, each with the key of
// its head. With `shared`, that is the same key for all.
template <bool shared, typename T>
inline Floats Products(const float* queries, int64_t row_columns, const T* position,
                       const int64_t* offsets, int64_t size) {
  const int64_t whole = size / kLanes * kLanes;
  Floats sums[kTogether] = {};
  ForVectors<4>(whole, [&](auto vectors, int64_t column) {
    Floats key[decltype(vectors)::kCount];
#pragma GCC unroll 4
    for (int i = 0; i < kTogether; ++i) {
      const float* const query = queries + i * row_columns + column;
#pragma GCC unroll 4
      for (int j = 0; j < decltype(vectors)::kCount; ++j) {
        if (i == 0 || !shared) {
          key[j] = Load(position + offsets[i] + column + j * kLanes);
        }
        sums[i] += Load(query + j * kLanes) * key[j];
      }
    }
  });
  if (whole < size) {
    for (int i = 0; i < kTogether; ++i) {
      sums[i] += Load(queries + i * row_columns + whole) *
                 LoadPart(position + offsets[i] + whole, size - whole);
    }
  }
  return SumOfEach(sums);
}

// Adds the values of `count` positions, each times a weight, to the sums of some rows that share
// them. Weights of a row are kChunk apart from those of the next, sums `sums_row`.
template <int rows, typename T>
inline void AddScaled(const T* const* positions, int64_t count, int64_t offset,
                      const float* weights, int64_t size, float* sums, int64_t sums_row) {
  const int64_t whole = size / kLanes * kLanes;
  ForVectors<rows == 1 || kLanes == 16 ? 4 : 2>(whole, [&](auto vectors, int64_t column) {
    constexpr int kCount = decltype(vectors)::kCount;
    Floats tile[rows][kCount];
#pragma GCC unroll 4
    for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 4
      for (int j = 0; j < kCount; ++j) {
        tile[r][j] = Load(sums + r * sums_row + column + j * kLanes);
      }
    }
    for (int64_t i = 0; i < count; ++i) {
      const T* const value = positions[i] + offset + column;
#pragma GCC unroll 4
      for (int j = 0; j < kCount; ++j) {
        const Floats values = Load(value + j * kLanes);
#pragma GCC unroll 4
        for (int r = 0; r < rows; ++r) {
          tile[r][j] += weights[r * kChunk + i] * values;
        }
      }
    }
#pragma GCC unroll 4
    for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 4
      for (int j = 0; j < kCount; ++j) {
        Store(tile[r][j], sums + r * sums_row + column + j * kLanes);
      }
    }
  });
  if (whole == size) {
    return;
  }
  for (int r = 0; r < rows; ++r) {
    Floats sum = Load(sums + r * sums_row + whole);
    for (int64_t i = 0; i < count; ++i) {
      sum += weights[r * kChunk + i] * LoadPart(positions[i] + offset + whole, size - whole);
    }
    Store(sum, sums + r * sums_row + whole);
  }
}

inline int64_t KeyRow(const AttentionProblem& p, int64_t batch, int64_t key) {
  return p.key_rows == nullptr ? batch : p.key_rows[key];
}

// Turns a row of scores into weights; returns the factor for the sums so far.
inline float Weigh(float* scores, int64_t columns, float* row_max, float* row_sum) {
  const float before = *row_max;
  *row_max = RowMax(scores, columns, before);
  const float factor = Exp2(Broadcast(before - *row_max))[0];
  *row_sum = *row_sum * factor + ToWeights(scores, columns, *row_max);
  return factor;
}

}  // namespace

int64_t DecodeScratch(const AttentionProblem& p) {
  Scratch counted = {nullptr};
  LayOut(p, counted);
  return counted.used;
}

void Decode(const AttentionProblem& p, int64_t batch, int64_t begin, int64_t end, float* partial,
            float* scratch) {
  Scratch memory = {scratch};
  const Memory m = LayOut(p, memory);
  const int64_t heads = p.heads / p.key_heads;
  const int64_t valid = NumQueries(p, batch);
  const int64_t rows = p.heads * valid;
  const Dropout dropout(p);

  for (int64_t n = 0; n < p.heads; ++n) {
    PackRows(p.storage, p.query, p.query_strides, batch, 0, n, valid, p.size, p.scale * kLog2E,
             m.queries + n * valid * m.row_columns, m.row_columns, valid);
    for (int64_t row = n * valid; row < (n + 1) * valid; ++row) {
      m.key_offsets[row] = n / heads * p.key_strides.head;
      m.value_offsets[row] = n / heads * p.value_strides.head;
      m.row_max[row] = -__FLT_MAX__;
      m.row_sum[row] = 0;
    }
  }
  // Rows up to a multiple of kTogether are padding and are computed too. They have the last head,
  // so that rows are in the order of their heads.
  for (int64_t row = rows; row < RoundUp(rows, kTogether); ++row) {
    m.key_offsets[row] = rows == 0 ? 0 : m.key_offsets[rows - 1];
    std::memset(m.queries + row * m.row_columns, 0,
                static_cast<size_t>(m.row_columns) * sizeof(float));
  }
  std::memset(m.sums, 0, static_cast<size_t>(rows * m.value_columns) * sizeof(float));

  Keys all = valid == 0 ? Keys{0, 0} : KeysOfAny(p, {batch, 0, 0, valid});
  all = {Max(all.begin, begin), Min(all.end, end)};
  for (int64_t first = all.begin; first < all.end; first += kChunk) {
    const Keys keys = {first, Min(first + kChunk, all.end)};
    const int64_t count = keys.end - keys.begin;
    WithStorage(p.storage, p.key, [&](const auto* key) {
      for (int64_t j = 0; j < count; ++j) {
        const auto* const position = key + KeyRow(p, batch, first + j) * p.key_strides.batch +
                                     (first + j) * p.key_strides.position;
        for (int64_t row = 0; row < rows; row += kTogether) {
          const float* const queries = m.queries + row * m.row_columns;
          const int64_t* const offsets = m.key_offsets + row;
          // Rows are in the order of their heads.
          const Floats products =
              offsets[0] == offsets[kTogether - 1]
                  ? Products<true>(queries, m.row_columns, position, offsets, p.size)
                  : Products<false>(queries, m.row_columns, position, offsets, p.size);
#pragma GCC unroll 4
          for (int i = 0; i < kTogether; ++i) m.scores[(row + i) * kChunk + j] = products[i];
        }
      }
    });
    for (int64_t n = 0; n < p.heads; ++n) {
      for (int64_t t = 0; t < valid; ++t) {
        const int64_t row = n * valid + t;
        const Queries q = {batch, n, t, 1};
        float* const scores = m.scores + row * kChunk;
        FinishScores(p, q, keys, scores, kChunk);
        const float factor =
            Weigh(scores, RoundUp(count, kLanes), m.row_max + row, m.row_sum + row);
        if (p.dropout_rate > 0) {
          Drop(p, dropout, q, keys, scores, kChunk);
        }
        if (factor == 1) {
          continue;
        }
        float* const sums = m.sums + row * m.value_columns;
        for (int64_t e = 0; e < m.value_columns; e += kLanes) {
          Store(Load(sums + e) * factor, sums + e);
        }
      }
    }
    WithStorage(p.storage, p.value, [&](const auto* value) {
      const auto position_of = [&](int64_t j) {
        return value + KeyRow(p, batch, first + j) * p.value_strides.batch +
               (first + j) * p.value_strides.position;
      };
      for (int64_t j = 0; j < count; j += kPositions) {
        decltype(position_of(0)) positions[kPositions];
        const int64_t present = Min(kPositions, count - j);
        for (int64_t i = 0; i < present; ++i) {
          positions[i] = position_of(j + i);
        }
        for (int64_t row = 0; row < rows;) {
          const float* const weights = m.scores + row * kChunk + j;
          const int64_t offset = m.value_offsets[row];
          float* const sums = m.sums + row * m.value_columns;
          if (row + kTogether <= rows && m.value_offsets[row + kTogether - 1] == offset) {
            AddScaled<kTogether>(positions, present, offset, weights, p.value_size, sums,
                                 m.value_columns);
            row += kTogether;
          } else {
            AddScaled<1>(positions, present, offset, weights, p.value_size, sums, m.value_columns);
            ++row;
          }
        }
      }
    });
  }

  for (int64_t t = 0; t < p.queries; ++t) {
    for (int64_t n = 0; n < p.heads; ++n, partial += p.value_size + 2) {
      const int64_t row = n * valid + t;
      if (t < valid) {
        std::memcpy(partial, m.sums + row * m.value_columns,
                    static_cast<size_t>(p.value_size) * sizeof(float));
      } else {
        std::memset(partial, 0, static_cast<size_t>(p.value_size) * sizeof(float));
      }
      partial[p.value_size] = t < valid ? m.row_max[row] : -__FLT_MAX__;
      partial[p.value_size + 1] = t < valid ? m.row_sum[row] : 0.0f;
    }
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
      float row_max = -__FLT_MAX__;
      for (int64_t k = 0; k < parts; ++k) {
        const float candidate = part(k)[p.value_size];
        row_max = row_max > candidate ? row_max : candidate;
      }
      float factors[kMostDecodeParts];
      float row_sum = 0;
      for (int64_t k = 0; k < parts; ++k) {
        factors[k] = Exp2(Broadcast(part(k)[p.value_size] - row_max))[0];
        row_sum += part(k)[p.value_size + 1] * factors[k];
      }
      const int64_t row = batch * rows + i;
      if (residual != nullptr) {
        residual[row] = Residual(row_max, row_sum);
      }
      const float inverse = row_sum == 0 ? 0 : 1 / row_sum;
      for (int64_t e = 0; e < p.value_size; e += kLanes) {
        const int64_t left = p.value_size - e;
        Floats sum = {};
        for (int64_t k = 0; k < parts; ++k) {
          sum += LoadPart(part(k) + e, left) * factors[k];
        }
        StorePart(row_sum == 0 ? Floats{} : sum * inverse, out + row * p.value_size + e, left);
      }
    }
  });
}

}  // namespace IKELOS_ISA
}  // namespace ikelos
