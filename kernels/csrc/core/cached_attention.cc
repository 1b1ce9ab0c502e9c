// The split into tasks depends only on the sizes and lengths.
#include "core/cached_attention.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "core/attention_blocks.h"
#include "core/thread_scratch.h"

namespace ikelos {
namespace {

const char* At(Storage storage, const void* array, int64_t element) {
  return static_cast<const char*>(array) + element * ElementBytes(storage);
}
char* At(Storage storage, void* array, int64_t element) {
  return static_cast<char*>(array) + element * ElementBytes(storage);
}

// Some tokens of a row whose keys lie one after the other: in the cache, or the new ones.
struct Piece {
  int64_t batch;
  int64_t position;  // of the first token
  int64_t count;
  bool is_new;
};

class Call {
 public:
  Call(const AttentionProblem& problem, const AttentionCache& cache)
      : p(problem),
        cache(cache),
        key_bytes(static_cast<size_t>(p.key_heads * p.size * ElementBytes(p.storage))),
        value_bytes(static_cast<size_t>(p.key_heads * p.value_size * ElementBytes(p.storage))) {}

  int64_t Length(int64_t batch) const { return cache.lengths[batch]; }
  bool IsEmpty() const {
    return std::all_of(cache.lengths, cache.lengths + p.batch, [](int32_t x) { return x == 0; });
  }
  int64_t NumNew(int64_t batch) const {
    return cache.num_valid == nullptr ? p.queries : cache.num_valid[batch];
  }
  // The position of the first token that a new token sees.
  int64_t Begin(int64_t batch) const {
    return p.window_left < 0 ? 0 : std::max<int64_t>(0, Length(batch) - p.window_left);
  }

  // The problem of one row with the keys of one piece. `offset` and `num_new` are filled in, and
  // the problem points to them.
  AttentionProblem ProblemOf(const Piece& piece, int32_t* offset, int32_t* num_new) const {
    AttentionProblem row = p;
    row.batch = 1;
    row.keys = piece.count;
    row.query = At(p.storage, p.query, piece.batch * p.query_strides.batch);
    if (piece.is_new) {
      row.key = At(p.storage, p.key, piece.batch * p.key_strides.batch);
      row.value = At(p.storage, p.value, piece.batch * p.value_strides.batch);
    } else {
      const int64_t slot = piece.position % cache.capacity;
      row.key_strides = Strides(p.size);
      row.value_strides = Strides(p.value_size);
      const int64_t own = cache.rows == nullptr ? piece.batch : 0;
      row.key = Slot(cache.key, row.key_strides, own, slot);
      row.value = Slot(cache.value, row.value_strides, own, slot);
      row.key_rows =
          cache.rows == nullptr ? nullptr : cache.rows + piece.batch * cache.capacity + slot;
    }
    *offset = static_cast<int32_t>(Length(piece.batch) - piece.position);
    *num_new = static_cast<int32_t>(NumNew(piece.batch));
    row.query_offsets = offset;
    row.query_lengths = num_new;
    return row;
  }

  // Copies the keys and values of a piece, one position after the other.
  void Copy(const Piece& piece, char* keys, char* values) const {
    int32_t offset, num_new;
    const AttentionProblem from = ProblemOf(piece, &offset, &num_new);
    for (int64_t i = 0; i < piece.count; ++i) {
      const int64_t row = from.key_rows == nullptr ? 0 : from.key_rows[i];
      std::memcpy(
          keys + static_cast<size_t>(i) * key_bytes,
          At(p.storage, from.key, row * from.key_strides.batch + i * from.key_strides.position),
          key_bytes);
      std::memcpy(values + static_cast<size_t>(i) * value_bytes,
                  At(p.storage, from.value,
                     row * from.value_strides.batch + i * from.value_strides.position),
                  value_bytes);
    }
  }

  // Writes the new tokens of a row, but for those that would be overwritten, into its own slots.
  void Write(int64_t batch) const {
    for (int64_t t = std::max<int64_t>(0, NumNew(batch) - cache.capacity); t < NumNew(batch); ++t) {
      const int64_t slot = (Length(batch) + t) % cache.capacity;
      std::memcpy(At(p.storage, cache.key, (batch * cache.capacity + slot) * p.key_heads * p.size),
                  At(p.storage, p.key, batch * p.key_strides.batch + t * p.key_strides.position),
                  key_bytes);
      std::memcpy(
          At(p.storage, cache.value, (batch * cache.capacity + slot) * p.key_heads * p.value_size),
          At(p.storage, p.value, batch * p.value_strides.batch + t * p.value_strides.position),
          value_bytes);
      if (cache.rows != nullptr) {
        cache.rows[batch * cache.capacity + slot] = static_cast<int32_t>(batch);
      }
    }
  }

  // Appends the pieces of the earlier tokens begin <= position < end: two if the slots wrap around.
  void AddPieces(int64_t batch, int64_t begin, int64_t end, std::vector<Piece>* pieces) const {
    while (begin < end) {
      const int64_t wrap = (begin / cache.capacity + 1) * cache.capacity;
      const int64_t stop = std::min(end, wrap);
      pieces->push_back({batch, begin, stop - begin, false});
      begin = stop;
    }
  }

  const AttentionProblem& p;
  const AttentionCache& cache;
  const size_t key_bytes, value_bytes;  // of a position

 private:
  RowStrides Strides(int64_t size) const {
    return {cache.capacity * p.key_heads * size, p.key_heads * size, size};
  }
  const char* Slot(const void* array, const RowStrides& strides, int64_t batch,
                   int64_t slot) const {
    return At(p.storage, array, batch * strides.batch + slot * strides.position);
  }
};

// For few queries: each task reads a part of the earlier tokens of a row, the last also the new.
void DecodeRows(const Call& call, void* output, const AttentionBlocks& blocks,
                const ParallelFor& parallel_for) {
  const AttentionProblem& p = call.p;
  std::vector<Piece> pieces;
  std::vector<int64_t> tasks, rows;  // the first piece of each task and of each row
  for (int64_t b = 0; b < p.batch; ++b) {
    rows.push_back(static_cast<int64_t>(pieces.size()));
    const int64_t begin = call.Begin(b), end = call.Length(b);
    const int64_t parts = NumDecodeParts(p.batch, end - begin);
    const int64_t step = DecodePartKeys(end - begin, parts);
    for (int64_t part = 0; part < parts; ++part) {
      tasks.push_back(static_cast<int64_t>(pieces.size()));
      call.AddPieces(b, std::min(end, begin + part * step),
                     std::min(end, begin + (part + 1) * step), &pieces);
    }
    pieces.push_back({b, end, call.NumNew(b), true});
  }
  tasks.push_back(static_cast<int64_t>(pieces.size()));
  rows.push_back(static_cast<int64_t>(pieces.size()));

  const int64_t partial_size = p.queries * p.heads * (p.value_size + 2);
  const std::unique_ptr<float[]> partials(
      new float[pieces.size() * static_cast<size_t>(partial_size)]);
  parallel_for(static_cast<int64_t>(tasks.size()) - 1, [&](int64_t task) {
    float* const scratch = ThreadScratch(blocks.decode_scratch(p));
    for (int64_t i = tasks[task]; i < tasks[task + 1]; ++i) {
      int32_t offset, num_new;
      const AttentionProblem row = call.ProblemOf(pieces[i], &offset, &num_new);
      blocks.decode(row, 0, 0, row.keys, partials.get() + i * partial_size, scratch);
    }
  });
  for (int64_t b = 0; b < p.batch; ++b) {
    blocks.join(p, b, partials.get() + rows[b] * partial_size, rows[b + 1] - rows[b], output,
                nullptr);
  }
}

// For many queries and earlier tokens: all keys that a row sees are copied into one array.
void CopyRows(const Call& call, void* output, Isa isa, const ParallelFor& parallel_for) {
  const AttentionProblem& p = call.p;
  for (int64_t b = 0; b < p.batch; ++b) {
    std::vector<Piece> pieces;
    call.AddPieces(b, call.Begin(b), call.Length(b), &pieces);
    pieces.push_back({b, call.Length(b), call.NumNew(b), true});
    const int64_t count = call.Length(b) + call.NumNew(b) - call.Begin(b);
    const std::unique_ptr<char[]> keys(new char[static_cast<size_t>(count) * call.key_bytes]);
    const std::unique_ptr<char[]> values(new char[static_cast<size_t>(count) * call.value_bytes]);
    for (const Piece& piece : pieces) {
      const auto at = static_cast<size_t>(piece.position - call.Begin(b));
      call.Copy(piece, keys.get() + at * call.key_bytes, values.get() + at * call.value_bytes);
    }
    int32_t offset, num_new;
    AttentionProblem row =
        call.ProblemOf({b, call.Begin(b), count, /*is_new=*/true}, &offset, &num_new);
    row.key = keys.get();
    row.value = values.get();
    Attention(row, At(p.storage, output, b * p.queries * p.heads * p.value_size), nullptr, isa,
              parallel_for);
  }
}

}  // namespace

bool HasRoom(const AttentionProblem& problem, const AttentionCache& cache, int64_t length,
             int64_t count) {
  return length + count <= cache.capacity ||
         (problem.window_left >= 0 && problem.window_left < cache.capacity);
}

void CachedAttention(const AttentionProblem& p, const AttentionCache& cache, void* output, Isa isa,
                     const ParallelFor& parallel_for) {
  if (p.batch == 0 || p.queries == 0) {
    return;
  }
  const Call call(p, cache);
  if (p.heads > 0 && IsDecoding(p)) {
    DecodeRows(call, output, IKELOS_PICK(isa, kAttentionBlocks), parallel_for);
  } else if (call.IsEmpty()) {
    AttentionProblem alone = p;
    alone.query_lengths = alone.key_lengths = cache.num_valid;
    Attention(alone, output, nullptr, isa, parallel_for);
  } else {
    CopyRows(call, output, isa, parallel_for);
  }
  parallel_for(p.batch, [&](int64_t b) { call.Write(b); });
}

}  // namespace ikelos
