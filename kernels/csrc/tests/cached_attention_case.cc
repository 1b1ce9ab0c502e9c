#include "tests/cached_attention_case.h"

#include <algorithm>
#include <cmath>
#include <sstream>

#include "tests/options.h"
#include "tests/testing.h"

namespace ikelos {
namespace {

// The tokens of a row that the oracle sees, the first at `position`.
struct History {
  int64_t position = 0;
  std::vector<double> key, value;
};

int64_t Before(const CachedOptions& o, int64_t b) { return LengthOf(o.before, b, 0); }
int64_t KeySize(const CachedOptions& o) { return o.key_heads * o.size; }
int64_t ValueSize(const CachedOptions& o) { return o.key_heads * o.value_size; }

// Appends `size` elements to `numbers`.
void Append(const Array& array, int64_t start, int64_t size, std::vector<double>* numbers) {
  for (int64_t i = start; i < start + size; ++i) {
    numbers->push_back(array[i]);
  }
}

Array Stored(Storage storage, const std::vector<double>& numbers) {
  Array array(storage, static_cast<int64_t>(numbers.size()), 0);
  for (int64_t i = 0; i < array.size(); ++i) {
    array.Set(i, numbers[static_cast<size_t>(i)]);
  }
  return array;
}

AttentionProblem ProblemOf(const CachedOptions& o, int64_t batch, int64_t queries, int64_t keys) {
  AttentionProblem p{};
  p.batch = batch;
  p.queries = queries;
  p.keys = keys;
  p.heads = o.heads;
  p.key_heads = o.key_heads;
  p.size = o.size;
  p.value_size = o.value_size;
  p.storage = o.storage;
  p.query_strides = {queries * o.heads * o.size, o.heads * o.size, o.size};
  p.key_strides = {keys * KeySize(o), KeySize(o), o.size};
  p.value_strides = {keys * ValueSize(o), ValueSize(o), o.value_size};
  p.alibi_slopes = DataOrNull(o.alibi_slopes);
  p.scale = o.scale;
  p.is_causal = true;
  p.window_left = o.window_left;
  p.window_right = -1;
  p.cache_bytes = 1 << 20;
  return p;
}

// The outputs of the new tokens of a row, whose history includes them.
std::vector<Number> Expected(const CachedOptions& o, const Array& query, int64_t start,
                             int64_t queries, int64_t num_new, const History& history) {
  const int64_t row_size = o.heads * o.size;
  const auto keys = static_cast<int64_t>(history.key.size()) / KeySize(o);
  std::vector<double> queries_of_row;
  Append(query, start, num_new * row_size, &queries_of_row);
  queries_of_row.resize(static_cast<size_t>(queries * row_size));
  const Array own_query = Stored(o.storage, queries_of_row);
  const Array key = Stored(o.storage, history.key), value = Stored(o.storage, history.value);
  const auto offset = static_cast<int32_t>(keys - num_new);
  const auto length = static_cast<int32_t>(num_new);
  AttentionProblem p = ProblemOf(o, 1, queries, keys);
  p.query = own_query.data();
  p.key = key.data();
  p.value = value.data();
  p.query_offsets = &offset;
  p.query_lengths = &length;
  const Array no_grad =
      Stored(o.storage, std::vector<double>(static_cast<size_t>(queries * o.heads * o.value_size)));
  return AttentionOracle(p, no_grad.data(), nullptr, nullptr).output;
}

}  // namespace

bool CachedResults::SameBits(const CachedResults& other) const {
  bool same = outputs.size() == other.outputs.size();
  for (size_t i = 0; same && i < outputs.size(); ++i) {
    same = outputs[i].SameBits(other.outputs[i]);
  }
  return same && key.SameBits(other.key) && value.SameBits(other.value) &&
         lengths == other.lengths && rows == other.rows;
}

CachedCase::CachedCase(const CachedOptions& options) : options(options) {
  const CachedOptions& o = this->options;
  RandomNumbers numbers(o.numbers);
  const auto fill = [&](Array* array, int64_t start, int64_t size, double magnitude) {
    for (int64_t i = start; i < start + size; ++i) {
      array->Set(i, numbers.Uniform(magnitude));
    }
  };
  const auto array = [&](int64_t positions, int64_t size) {
    return Array(o.storage, o.batch * positions * size, o.guard_bytes);
  };
  first_key = array(o.capacity, KeySize(o));
  first_value = array(o.capacity, ValueSize(o));
  for (int64_t b = 0; b < o.batch; ++b) {
    for (int64_t slot = 0; slot < std::min(Before(o, b), o.capacity); ++slot) {
      fill(&first_key, (b * o.capacity + slot) * KeySize(o), KeySize(o), o.magnitude);
      fill(&first_value, (b * o.capacity + slot) * ValueSize(o), ValueSize(o), 1);
    }
  }
  for (const CallOptions& call : o.calls) {
    Call c;
    c.query = array(call.queries, o.heads * o.size);
    c.key = array(call.queries, KeySize(o));
    c.value = array(call.queries, ValueSize(o));
    for (int64_t b = 0; b < o.batch; ++b) {
      const int64_t num_new = LengthOf(call.num_valid, b, call.queries);
      const auto fill_row = [&](Array* array, int64_t size, double magnitude) {
        fill(array, b * call.queries * size, num_new * size, magnitude);
      };
      fill_row(&c.query, o.heads * o.size, o.magnitude);
      fill_row(&c.key, KeySize(o), o.magnitude);
      fill_row(&c.value, ValueSize(o), 1);
      int64_t parent = b;
      for (int64_t i = 0; o.beams > 0 && i < o.beams; ++i) {
        const int64_t candidate = b / o.beams * o.beams + i;
        parent = numbers.Chance(1.0 / static_cast<double>(i + 1)) ? candidate : parent;
      }
      c.parents.push_back(static_cast<int32_t>(parent));
    }
    calls.push_back(c);
  }
}

CachedResults CachedCase::Run(Isa isa, const ParallelFor& parallel_for) const {
  const CachedOptions& o = options;
  CachedResults r;
  r.key = first_key;
  r.value = first_value;
  r.lengths.assign(static_cast<size_t>(o.batch), 0);
  if (o.beams > 0) {
    r.rows.resize(static_cast<size_t>(o.batch * o.capacity));
  }
  for (int64_t b = 0; b < o.batch; ++b) {
    r.lengths[static_cast<size_t>(b)] = static_cast<int32_t>(Before(o, b));
    if (o.beams > 0) {
      std::fill_n(r.rows.begin() + b * o.capacity, o.capacity, static_cast<int32_t>(b));
    }
  }
  for (size_t i = 0; i < calls.size(); ++i) {
    const Call& call = calls[i];
    const CallOptions& its = o.calls[i];
    const std::vector<int32_t> lengths = r.lengths, rows = r.rows;
    for (int64_t b = 0; b < o.batch; ++b) {
      const int32_t parent = call.parents[static_cast<size_t>(b)];
      r.lengths[static_cast<size_t>(b)] = lengths[static_cast<size_t>(parent)];
      if (o.beams > 0) {
        std::copy_n(rows.begin() + parent * o.capacity, o.capacity,
                    r.rows.begin() + b * o.capacity);
      }
    }
    AttentionProblem p = ProblemOf(o, o.batch, its.queries, its.queries);
    p.query = call.query.data();
    p.key = call.key.data();
    p.value = call.value.data();
    AttentionCache cache{};
    cache.capacity = o.capacity;
    cache.key = r.key.data();
    cache.value = r.value.data();
    cache.lengths = r.lengths.data();
    cache.num_valid = DataOrNull(its.num_valid);
    cache.rows = o.beams > 0 ? r.rows.data() : nullptr;
    Array output(o.storage, o.batch * its.queries * o.heads * o.value_size, o.guard_bytes);
    CachedAttention(p, cache, output.data(), isa, parallel_for);
    r.outputs.push_back(output);
    for (int64_t b = 0; b < o.batch; ++b) {
      r.lengths[static_cast<size_t>(b)] +=
          static_cast<int32_t>(LengthOf(its.num_valid, b, its.queries));
    }
  }
  return r;
}

std::string CachedCase::Compare(const CachedResults& r, double* worst) const {
  const CachedOptions& o = options;
  Comparison comparison(worst);
  std::vector<History> histories;
  for (int64_t b = 0; b < o.batch; ++b) {
    History history;
    history.position = std::max<int64_t>(0, Before(o, b) - o.capacity);
    for (int64_t position = history.position; position < Before(o, b); ++position) {
      const int64_t slot = b * o.capacity + position % o.capacity;
      Append(first_key, slot * KeySize(o), KeySize(o), &history.key);
      Append(first_value, slot * ValueSize(o), ValueSize(o), &history.value);
    }
    histories.push_back(history);
  }
  for (size_t i = 0; i < calls.size(); ++i) {
    const int64_t queries = o.calls[i].queries;
    const std::vector<History> parents = histories;
    std::vector<Number> expected;
    for (int64_t b = 0; b < o.batch; ++b) {
      History& history = histories[static_cast<size_t>(b)];
      history = parents[static_cast<size_t>(calls[i].parents[static_cast<size_t>(b)])];
      const int64_t num_new = LengthOf(o.calls[i].num_valid, b, queries);
      Append(calls[i].key, b * queries * KeySize(o), num_new * KeySize(o), &history.key);
      Append(calls[i].value, b * queries * ValueSize(o), num_new * ValueSize(o), &history.value);
      const std::vector<Number> row =
          Expected(o, calls[i].query, b * queries * o.heads * o.size, queries, num_new, history);
      expected.insert(expected.end(), row.begin(), row.end());
    }
    comparison.Add(("output " + std::to_string(i)).c_str(), r.outputs[i], expected, false);
  }

  // The cache holds the last tokens of each row, bit by bit, and nothing else was written.
  comparison.AddMemory("key cache", r.key);
  comparison.AddMemory("value cache", r.value);
  std::ostringstream problems;
  for (int64_t b = 0; b < o.batch; ++b) {
    const History& history = histories[static_cast<size_t>(b)];
    const int64_t length = r.lengths[static_cast<size_t>(b)];
    std::vector<int64_t> positions(static_cast<size_t>(o.capacity), -1);  // of each slot
    for (int64_t position = std::max<int64_t>(0, length - o.capacity); position < length;
         ++position) {
      positions[static_cast<size_t>(position % o.capacity)] = position - history.position;
    }
    for (int64_t slot = 0; slot < o.capacity; ++slot) {
      const int64_t row = o.beams > 0 ? r.rows[static_cast<size_t>(b * o.capacity + slot)] : b;
      const int64_t position = positions[static_cast<size_t>(slot)];
      const auto check = [&](const char* name, const Array& array, int64_t size,
                             const std::vector<double>& tokens) {
        for (int64_t j = 0; j < size; ++j) {
          const double found = array[(row * o.capacity + slot) * size + j];
          const bool right = position < 0
                                 ? std::isnan(found)
                                 : found == tokens[static_cast<size_t>(position * size + j)];
          if (!right) {
            problems << name << " cache: slot " << slot << " of row " << b << " holds " << found
                     << " at " << j << "; ";
            return;
          }
        }
      };
      check("key", r.key, KeySize(o), history.key);
      check("value", r.value, ValueSize(o), history.value);
    }
  }
  return comparison.problems() + problems.str();
}

std::string Describe(const CachedOptions& o) {
  std::ostringstream sizes;
  sizes << StorageName(o.storage) << " B" << o.batch << " S" << o.capacity << " N" << o.heads
        << " K" << o.key_heads << " H" << o.size << " E" << o.value_size << " T";
  for (const CallOptions& call : o.calls) {
    sizes << call.queries << ",";
  }
  Description text(sizes.str());
  for (const CallOptions& call : o.calls) {
    text.AddList("num_valid", call.num_valid);
  }
  text.AddList("before", o.before);
  text.Add(o.beams != 0, "beams", o.beams);
  text.Add(o.window_left != -1, "window_left", o.window_left);
  text.AddList("alibi_slopes", o.alibi_slopes);
  text.Add(true, "scale", o.scale);
  text.Add(o.magnitude != 1, "magnitude", o.magnitude);
  return text.text();
}

}  // namespace ikelos
