// Tests of attention and its gradient for every instruction set of this machine, without
// TensorFlow. Prints the failures, and then exits with 1.
#include <sys/mman.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "core/attention.h"
#include "tests/attention_case.h"
#include "tests/testing.h"

namespace ikelos {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr Storage kStorages[] = {Storage::kFloat32, Storage::kBFloat16, Storage::kFloat16};

double worst_error = 0;  // of all comparisons, in tolerances

void ExpectRight(const AttentionCase& c, const CaseResults& results, Isa isa) {
  const std::string problems = c.Compare(results, &worst_error);
  Expect(problems.empty(), std::string(IsaName(isa)) + " " + Describe(c.options) + ": " + problems);
}

void RunAndCompare(const AttentionCase& c, Isa isa) { ExpectRight(c, c.Run(isa, kSerial), isa); }

CaseOptions Sized(int64_t batch, int64_t queries, int64_t keys, int64_t heads, int64_t key_heads,
                  int64_t size, int64_t value_size) {
  CaseOptions o;
  o.batch = batch;
  o.queries = queries;
  o.keys = keys;
  o.heads = heads;
  o.key_heads = key_heads;
  o.size = size;
  o.value_size = value_size;
  o.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(size)));
  o.guard_bytes = 64;
  return o;
}

// --- the arithmetic of the oracle ----------------------------------------------------------------

void StoresToNearestEven() {
  for (Storage storage : {Storage::kBFloat16, Storage::kFloat16}) {
    const double unit = storage == Storage::kBFloat16 ? 0x1p-7 : 0x1p-10;
    const auto stored = [&](double value) {
      uint16_t word;
      StoreElement(storage, &word, 0, value);
      return LoadElement(storage, &word, 0);
    };
    bool all_same = true;
    for (int word = 0; word < 0x10000; ++word) {
      const uint16_t original = static_cast<uint16_t>(word);
      const double value = LoadElement(storage, &original, 0);
      uint16_t again;
      StoreElement(storage, &again, 0, value);
      all_same = all_same && (std::isnan(value) ? std::isnan(stored(value)) : again == original);
    }
    Expect(all_same, "storing what was loaded must give the same word");
    Expect(stored(1 + 0.5 * unit) == 1 && stored(1 + 1.5 * unit) == 1 + 2 * unit &&
               stored(1 + 0.51 * unit) == 1 + unit,
           "storing must round to the nearest, ties to even");
    Expect(stored(1e39) == kInfinity && std::isfinite(stored(LargestFinite(storage))),
           "what is too large must be stored as infinity");
  }
}

// --- each option, and all together ---------------------------------------------------------------

// All functions take B = 2 and T, S of at least 5.
using Option = void (*)(CaseOptions* options);

void None(CaseOptions*) {}
void Padding(CaseOptions* o) { o->padding = 3; }
void HeadsFirst(CaseOptions* o) { o->heads_first = true; }
void BiasOfAll(CaseOptions* o) { o->bias = {true, true, true, true, true}; }
void BiasOfHeads(CaseOptions* o) { o->bias = {true, false, true, true, true}; }
void BiasOfKeys(CaseOptions* o) { o->bias = {true, true, false, false, true}; }
void BiasOfQueries(CaseOptions* o) { o->bias = {true, false, false, true, false}; }
void MaskOfAll(CaseOptions* o) { o->mask = {true, true, true, true, true}; }
void MaskOfKeys(CaseOptions* o) { o->mask = {true, true, false, false, true}; }
void MaskOfQueries(CaseOptions* o) { o->mask = {true, false, true, true, false}; }
void Causal(CaseOptions* o) { o->is_causal = true; }
void CausalWithOffsets(CaseOptions* o) {
  o->is_causal = true;
  o->query_offsets = {-2, static_cast<int32_t>(o->keys - o->queries)};
}
void Window(CaseOptions* o) {
  o->window_left = 3;
  o->window_right = 1;
}
void WindowToTheLeft(CaseOptions* o) { o->window_left = 17; }
void CausalWindowWithOffsets(CaseOptions* o) {
  o->is_causal = true;
  o->window_left = 40;
  o->query_offsets = {static_cast<int32_t>(o->keys), 1};
}
void QueryLengths(CaseOptions* o) { o->query_lengths = {static_cast<int32_t>(o->queries - 2), 1}; }
void KeyLengths(CaseOptions* o) { o->key_lengths = {3, static_cast<int32_t>(o->keys - 1)}; }
void LengthsOfZero(CaseOptions* o) {
  o->query_lengths = {static_cast<int32_t>(o->queries), 0};
  o->key_lengths = {0, static_cast<int32_t>(o->keys)};
}
void Alibi(CaseOptions* o) {
  for (int64_t n = 0; n < o->heads; ++n) {
    o->alibi_slopes.push_back(static_cast<float>(std::exp2(-1.0 - static_cast<double>(n))));
  }
  o->query_offsets = {0, 4};
}
void Dropout(CaseOptions* o) {
  o->dropout_rate = 0.3f;
  o->seed[0] = 12345;
  o->seed[1] = 0xffffffff;
}
void NoResidualGrad(CaseOptions* o) { o->residual_grad = false; }
void LargeLogits(CaseOptions* o) { o->magnitude = 6; }

constexpr Option kOptions[] = {
    None,           Padding,           HeadsFirst,    BiasOfAll,       BiasOfHeads,
    BiasOfKeys,     BiasOfQueries,     MaskOfAll,     MaskOfKeys,      MaskOfQueries,
    Causal,         CausalWithOffsets, Window,        WindowToTheLeft, CausalWindowWithOffsets,
    QueryLengths,   KeyLengths,        LengthsOfZero, Alibi,           Dropout,
    NoResidualGrad, LargeLogits,
};

void EachOption(Isa isa) {
  for (Storage storage : kStorages) {
    for (Option option : kOptions) {
      for (CaseOptions o : {Sized(2, 5, 7, 2, 1, 3, 5), Sized(2, 59, 97, 2, 2, 16, 9),
                            Sized(2, 111, 401, 1, 1, 7, 8), Sized(2, 5, 301, 2, 2, 16, 9)}) {
        o.storage = storage;
        option(&o);
        RunAndCompare(AttentionCase(o), isa);
      }
    }
  }
}

void AllOptionsTogether(Isa isa) {
  for (Storage storage : kStorages) {
    for (CaseOptions o : {Sized(2, 61, 83, 6, 3, 24, 40), Sized(2, 7, 130, 4, 1, 59, 33)}) {
      o.storage = storage;
      for (Option option : {Padding, HeadsFirst, BiasOfHeads, MaskOfAll, CausalWindowWithOffsets,
                            QueryLengths, KeyLengths, Dropout}) {
        option(&o);
      }
      o.alibi_slopes.assign(static_cast<size_t>(o.heads), 0.125f);
      RunAndCompare(AttentionCase(o), isa);
    }
  }
}

void EachSize(Isa isa) {
  for (Storage storage : kStorages) {
    for (int64_t size : {1, 2, 8, 15, 16, 17, 31, 32, 33, 64, 97, 128, 255, 256}) {
      CaseOptions o = Sized(1, 9, 19, 1, 1, size, size);
      o.storage = storage;
      o.is_causal = true;
      RunAndCompare(AttentionCase(o), isa);
      o.size = 257 - size;
      RunAndCompare(AttentionCase(o), isa);
    }
    // More keys than a block of the gradient holds in caches of any size, and several tasks.
    for (int64_t cache_bytes : {0, 1 << 18, 1 << 19, 1 << 22}) {
      CaseOptions o = Sized(1, 97, 397, 2, 1, 64, 64);
      o.storage = storage;
      o.cache_bytes = cache_bytes;
      RunAndCompare(AttentionCase(o), isa);
    }
    // And at these sizes.
    for (const auto& [size, value_size] : std::vector<std::pair<int64_t, int64_t>>{
             {256, 256}, {64, 256}, {256, 8}, {129, 129}, {128, 128}}) {
      CaseOptions o = Sized(1, 13, 397, 1, 1, size, value_size);
      o.storage = storage;
      RunAndCompare(AttentionCase(o), isa);
      BiasOfHeads(&o);
      o.is_causal = true;
      o.query_offsets = {384};
      RunAndCompare(AttentionCase(o), isa);
    }
    for (int64_t length : {1, 2, 16, 31, 63, 64, 65, 111, 128, 129, 257}) {
      CaseOptions o = Sized(1, length, 258 - length, 1, 1, 8, 8);
      o.storage = storage;
      RunAndCompare(AttentionCase(o), isa);
      o.is_causal = true;
      o.query_offsets = {static_cast<int32_t>(o.keys - o.queries)};
      RunAndCompare(AttentionCase(o), isa);
    }
  }
}

// One query, or few, and a cache that is longer than its contents.
void Decoding(Isa isa) {
  for (Storage storage : kStorages) {
    for (int64_t queries : {1, 2, 5}) {
      for (int64_t key_heads : {1, 2, 6}) {
        CaseOptions o = Sized(3, queries, 1025, 6, key_heads, 32, 24);
        o.storage = storage;
        o.padding = 1;
        o.is_causal = true;
        o.key_lengths = {1025, 7, 512};
        o.query_offsets = {static_cast<int32_t>(1025 - queries), static_cast<int32_t>(7 - queries),
                           static_cast<int32_t>(512 - queries)};
        RunAndCompare(AttentionCase(o), isa);
        o.window_left = 100;
        o.alibi_slopes.assign(6, 0.01f);
        RunAndCompare(AttentionCase(o), isa);
      }
    }
  }
}

// Empty arrays, and sums over them, which are 0.
void EmptyAxes(Isa isa) {
  for (Option option : {None, BiasOfQueries, BiasOfKeys, MaskOfKeys, Dropout}) {
    for (CaseOptions o : {Sized(0, 5, 7, 2, 1, 3, 5), Sized(2, 0, 7, 2, 1, 3, 5),
                          Sized(2, 5, 0, 2, 1, 3, 5), Sized(2, 5, 7, 0, 1, 3, 5)}) {
      option(&o);
      RunAndCompare(AttentionCase(o), isa);
    }
  }
}

// --- rows that see no key, and NaN
// -----------------------------------------------------------------

// Every way to mask all keys of a query, next to queries that see some.
void FullyMaskedRows(Isa isa) {
  for (Storage storage : kStorages) {
    CaseOptions o = Sized(2, 37, 70, 2, 1, 16, 16);
    o.storage = storage;
    o.mask = {true, true, false, true, true};
    AttentionCase by_mask(o);
    std::fill(by_mask.mask.begin(), by_mask.mask.begin() + 70 * 36, uint8_t{0});
    RunAndCompare(by_mask, isa);

    o.mask.present = false;
    o.bias = {true, false, true, true, false};
    AttentionCase by_bias(o);
    for (int64_t i = 0; i < 37; ++i) {
      by_bias.bias.Set(i, -kInfinity);
    }
    if (storage != Storage::kFloat16) {
      by_bias.bias.Set(40, -3e38);
      by_bias.bias.Set(41, -9e29);  // just not masked
    }
    RunAndCompare(by_bias, isa);

    o.bias.present = false;
    o.is_causal = true;
    o.query_offsets = {-20, -1000};
    RunAndCompare(AttentionCase(o), isa);
  }
}

// NaN affects only the row that contains it, and all of that row.
void NaNStaysInItsRow(Isa isa) {
  for (Storage storage : kStorages) {
    CaseOptions o = Sized(2, 37, 70, 2, 1, 16, 17);
    o.storage = storage;
    o.bias = {true, true, true, true, true};
    const auto check = [&](const AttentionCase& c, int64_t bad_row, const char* what) {
      const CaseResults results = c.Run(isa, kSerial);
      ExpectRight(c, results, isa);
      for (int64_t row = 0; row < results.residual.size(); ++row) {
        const auto all = [&](const Array& array, int64_t size, bool nan) {
          for (int64_t i = row * size; i < (row + 1) * size; ++i) {
            if (std::isnan(array[i]) != nan) {
              return false;
            }
          }
          return true;
        };
        const bool bad = row == bad_row;
        Expect(all(results.residual, 1, bad) && all(results.output, 17, bad) &&
                   all(results.query_grad, 16, bad),
               std::string(IsaName(isa)) + " " + Describe(o) + ": NaN in " + what + " of row " +
                   std::to_string(bad_row) + ", row " + std::to_string(row) + " is wrong");
      }
    };
    const int64_t b = 1, t = 20, n = 1, row = (b * 37 + t) * 2 + n;
    AttentionCase in_query(o);
    in_query.query.Set(At(in_query.problem.query_strides, b, t, n) + 5, kNaN);
    check(in_query, row, "the query");
    AttentionCase in_bias(o);
    in_bias.bias.Set(((b * 2 + n) * 37 + t) * 70 + 33, kNaN);
    check(in_bias, row, "the bias");

    // The bias of a masked pair may be NaN.
    o.is_causal = true;
    AttentionCase masked(o);
    masked.bias.Set(((b * 2 + n) * 37 + t) * 70 + 33, kNaN);
    check(masked, -1, "a masked bias");
  }
}

// --- extreme integers ----------------------------------------------------------------------------

void ExtremeOffsetsAndWindows(Isa isa) {
  constexpr int32_t kLowest = std::numeric_limits<int32_t>::min();
  constexpr int32_t kHighest = std::numeric_limits<int32_t>::max();
  constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();
  for (int64_t queries : {1, 37}) {
    CaseOptions o = Sized(2, queries, 70, 2, 1, 16, 16);
    o.query_offsets = {kLowest, kHighest};
    for (bool is_causal : {false, true}) {
      for (int64_t left : {int64_t{-1}, int64_t{0}, int64_t{kHighest} - 30, kHuge}) {
        for (int64_t right : {int64_t{-1}, int64_t{0}, -int64_t{kLowest} + 30, kHuge}) {
          o.is_causal = is_causal;
          o.window_left = left;
          o.window_right = right;
          RunAndCompare(AttentionCase(o), isa);
        }
      }
    }
    o.window_left = o.window_right = -1;
    o.is_causal = false;
    o.alibi_slopes = {1e-9f, 1.0f};
    RunAndCompare(AttentionCase(o), isa);
  }
}

// Memory in which only touched pages exist.
class SparseMemory {
 public:
  explicit SparseMemory(size_t bytes)
      : bytes_(bytes),
        memory_(mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)) {
    if (memory_ == MAP_FAILED) {
      std::perror("mmap");
      std::exit(1);
    }
  }
  SparseMemory(const SparseMemory&) = delete;
  ~SparseMemory() { munmap(memory_, bytes_); }
  void* data() { return memory_; }

 private:
  const size_t bytes_;
  void* const memory_;
};

// Each axis in turn gets a stride for which element indices need more than 32 bits.
void StridesBeyondInt32(Isa isa) {
  const int64_t huge = (int64_t{1} << 31) + 5;
  // Few queries, which take the decoding kernel, and more.
  for (const auto& [queries, storage] : std::vector<std::pair<int64_t, Storage>>{
           {3, Storage::kFloat32}, {5, Storage::kFloat32}, {5, Storage::kBFloat16}}) {
    CaseOptions o = Sized(2, queries, 4, 4, 2, 16, 16);
    o.storage = storage;
    o.bias = {true, true, true, true, true};
    o.mask = {true, true, true, true, true};
    for (int axis = 0; axis < 3; ++axis) {
      AttentionCase c(o);
      AttentionProblem& p = c.problem;
      const size_t bytes = static_cast<size_t>(5 * huge * ElementBytes(storage));
      SparseMemory key(bytes), value(bytes), bias(bytes), mask(bytes);
      RowStrides rows = {64 * 4, 64, 32};
      PairStrides pairs = {20 * 4 * 4, 20 * 4, 20, 1};
      (axis == 0 ? rows.batch : axis == 1 ? rows.position : rows.head) = huge;
      (axis == 0 ? pairs.batch : axis == 1 ? pairs.query : pairs.head) = huge;
      for (int64_t b = 0; b < 2; ++b) {
        for (int64_t s = 0; s < 4; ++s) {
          for (int64_t n = 0; n < 2; ++n) {
            for (int64_t h = 0; h < 16; ++h) {
              const int64_t at = At(rows, b, s, n) + h;
              StoreElement(storage, key.data(), at, c.key[At(p.key_strides, b, s, n) + h]);
              StoreElement(storage, value.data(), at, c.value[At(p.value_strides, b, s, n) + h]);
            }
          }
          for (int64_t n = 0; n < 4; ++n) {
            for (int64_t t = 0; t < queries; ++t) {
              const int64_t from = ((b * 4 + n) * queries + t) * 4 + s;
              const int64_t to = b * pairs.batch + n * pairs.head + t * pairs.query + s;
              StoreElement(storage, bias.data(), to, c.bias[from]);
              static_cast<uint8_t*>(mask.data())[to] = c.mask[static_cast<size_t>(from)];
            }
          }
        }
      }
      p.key = key.data();
      p.value = value.data();
      p.bias = bias.data();
      p.mask = static_cast<const uint8_t*>(mask.data());
      p.key_strides = p.value_strides = rows;
      p.bias_strides = p.mask_strides = pairs;
      RunAndCompare(c, isa);
    }
  }
}

// More keys than int32 can count, of which a window leaves the last few. The oracle gets these few.
void KeysBeyondInt32(Isa isa) {
  constexpr int64_t kBefore = int64_t{std::numeric_limits<int32_t>::max()} - 5;
  for (int64_t queries : {1, 5}) {  // decoding, and not
    CaseOptions o = Sized(1, queries, 12, 2, 1, 8, 8);
    o.storage = Storage::kBFloat16;
    o.is_causal = true;
    o.window_left = 5;
    o.query_offsets = {5};
    const AttentionCase few(o);
    AttentionProblem p = few.problem;
    p.keys = kBefore + 12;
    const size_t bytes = static_cast<size_t>(p.keys * 8 * ElementBytes(o.storage));
    SparseMemory key(bytes), value(bytes);
    for (int64_t i = 0; i < 12 * 8; ++i) {
      StoreElement(o.storage, key.data(), kBefore * 8 + i, few.key[i]);
      StoreElement(o.storage, value.data(), kBefore * 8 + i, few.value[i]);
    }
    const int32_t offset = std::numeric_limits<int32_t>::max();
    p.key = key.data();
    p.value = value.data();
    p.query_offsets = &offset;
    CaseResults results = few.Run(isa, kSerial);
    Attention(p, results.output.data(), static_cast<float*>(results.residual.data()), isa, kSerial);
    ExpectRight(few, results, isa);
  }
}

// --- dropout -------------------------------------------------------------------------------------

// With equal logits and one-hot values, each output and each value gradient is one weight.
void DropsWhatTheSpecificationSays(Isa isa) {
  CaseOptions o = Sized(2, 50, 67, 3, 3, 4, 67);
  o.magnitude = 0;
  o.dropout_rate = 0.4f;
  o.seed[0] = 7;
  o.seed[1] = 0xdeadbeef;
  AttentionCase c(o);
  for (int64_t b = 0; b < 2; ++b) {
    for (int64_t n = 0; n < 3; ++n) {
      for (int64_t e = 0; e < 67; ++e) {
        for (int64_t s = 0; s < 67; ++s) {
          c.value.Set(At(c.problem.value_strides, b, s, n) + e, s == e ? 1 : 0);
        }
        for (int64_t t = 0; t < 50; ++t) {
          c.output_grad.Set(((b * 50 + t) * 3 + n) * 67 + e, t == e ? 1 : 0);
        }
      }
    }
  }
  const CaseResults results = c.Run(isa, kSerial);
  int64_t wrong = 0, kept = 0;
  for (int64_t b = 0; b < 2; ++b) {
    for (int64_t n = 0; n < 3; ++n) {
      for (int64_t t = 0; t < 50; ++t) {
        for (int64_t s = 0; s < 67; ++s) {
          const bool keeps = DropoutKeeps(o.seed, o.dropout_rate, 3, b, n, t, s);
          kept += keeps;
          wrong += (results.output[((b * 50 + t) * 3 + n) * 67 + s] != 0) != keeps;
          wrong += (results.value_grad[((b * 67 + s) * 3 + n) * 67 + t] != 0) != keeps;
        }
      }
    }
  }
  Expect(wrong == 0, std::string(IsaName(isa)) + ": dropout disagrees with its specification in " +
                         std::to_string(wrong) + " weights");
  // Within 5 standard deviations of binomial counts.
  const double weights = 2 * 3 * 50 * 67;
  Expect(std::fabs(kept - 0.6 * weights) < 5 * std::sqrt(weights * 0.6 * 0.4),
         "dropout keeps " + std::to_string(kept) + " of " + std::to_string(weights) + " weights");
}

// --- threads -------------------------------------------------------------------------------------

void SameForAnyNumberOfThreads(Isa isa) {
  CaseOptions few_heads = Sized(1, 333, 801, 2, 1, 16, 16);
  few_heads.is_causal = true;
  CaseOptions many_heads = Sized(3, 61, 70, 6, 2, 16, 16);
  for (Option option : {Padding, BiasOfHeads, MaskOfKeys, Dropout}) {
    option(&many_heads);
  }
  many_heads.query_lengths = {61, 0, 13};
  many_heads.key_lengths = {9, 70, 44};
  CaseOptions decoding = Sized(1, 1, 3001, 2, 1, 16, 16);
  CaseOptions few_queries = Sized(2, 3, 1025, 4, 2, 16, 16);
  few_queries.bias = {true, false, true, false, true};
  for (CaseOptions o : {few_heads, many_heads, decoding, few_queries}) {
    for (Storage storage : {Storage::kFloat32, Storage::kBFloat16}) {
      o.storage = storage;
      const AttentionCase c(o);
      const CaseResults expected = c.Run(isa, kSerial);
      ExpectRight(c, expected, isa);
      for (int threads : {2, 3, 7}) {
        ThreadPool pool(threads);
        Expect(c.Run(isa, pool.For()).SameBits(expected),
               std::string(IsaName(isa)) + " " + Describe(o) + ": " + std::to_string(threads) +
                   " threads give another result than one");
      }
    }
  }
}

}  // namespace
}  // namespace ikelos

int main() {
  ikelos::StoresToNearestEven();
  for (ikelos::Isa isa : ikelos::SupportedIsas()) {
    std::printf("%s\n", ikelos::IsaName(isa));
    ikelos::EachOption(isa);
    ikelos::AllOptionsTogether(isa);
    ikelos::EachSize(isa);
    ikelos::Decoding(isa);
    ikelos::EmptyAxes(isa);
    ikelos::FullyMaskedRows(isa);
    ikelos::NaNStaysInItsRow(isa);
    ikelos::ExtremeOffsetsAndWindows(isa);
    ikelos::StridesBeyondInt32(isa);
    ikelos::KeysBeyondInt32(isa);
    ikelos::DropsWhatTheSpecificationSays(isa);
    ikelos::SameForAnyNumberOfThreads(isa);
  }
  std::printf("the largest error was %.2f tolerances\n", ikelos::worst_error);
  return ikelos::Verdict();
}
