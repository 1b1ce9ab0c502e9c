// Tests of attention with a cache for every instruction set of this machine, without TensorFlow.
// Prints the failures, and then exits with 1.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <string>
#include <vector>

#include "core/cached_attention.h"
#include "tests/cached_attention_case.h"
#include "tests/testing.h"

namespace ikelos {
namespace {

constexpr Storage kStorages[] = {Storage::kFloat32, Storage::kBFloat16, Storage::kFloat16};

double worst_error = 0;  // of all comparisons, in tolerances

void ExpectRight(const CachedCase& c, const CachedResults& results, Isa isa) {
  const std::string problems = c.Compare(results, &worst_error);
  Expect(problems.empty(), std::string(IsaName(isa)) + " " + Describe(c.options) + ": " + problems);
}

void RunAndCompare(const CachedOptions& o, Isa isa) {
  const CachedCase c(o);
  ExpectRight(c, c.Run(isa, kSerial), isa);
}

CachedOptions Sized(int64_t batch, int64_t capacity, int64_t heads, int64_t key_heads, int64_t size,
                    int64_t value_size) {
  CachedOptions o;
  o.batch = batch;
  o.capacity = capacity;
  o.heads = heads;
  o.key_heads = key_heads;
  o.size = size;
  o.value_size = value_size;
  o.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(size)));
  o.guard_bytes = 64;
  return o;
}

void AddCalls(CachedOptions* o, const std::vector<int64_t>& queries) {
  for (const int64_t count : queries) {
    o->calls.push_back({count, {}});
  }
}

// --- chunks, rings, lengths ----------------------------------------------------------------------

// Sizes from 1 to 40, few queries (which decode) and many (which copy), in a cache that they fill.
void EachChunking(Isa isa) {
  for (Storage storage : kStorages) {
    for (const std::vector<int64_t>& chunks : std::vector<std::vector<int64_t>>{
             {1, 1, 1, 1, 1}, {40}, {39, 1}, {1, 39}, {16, 17}, {3, 5, 8, 13}, {40, 40, 2}}) {
      for (CachedOptions o :
           {Sized(2, 0, 2, 1, 7, 3), Sized(1, 0, 6, 3, 16, 17), Sized(3, 0, 1, 1, 33, 8)}) {
        o.storage = storage;
        AddCalls(&o, chunks);
        for (const int64_t count : chunks) {
          o.capacity += count;
        }
        RunAndCompare(o, isa);
        o.capacity += 5;
        RunAndCompare(o, isa);
      }
    }
    for (int64_t queries = 1; queries <= 40; ++queries) {
      CachedOptions o = Sized(1, 60, 2, 2, 5, 4);
      o.storage = storage;
      o.before = {static_cast<int32_t>(queries / 2)};
      AddCalls(&o, {queries});
      RunAndCompare(o, isa);
    }
  }
}

// Capacities of a window and more, whose slots wrap around several times; also within one call.
void Rings(Isa isa) {
  for (Storage storage : kStorages) {
    for (const auto& [window, capacity] : std::vector<std::pair<int64_t, int64_t>>{
             {0, 1}, {0, 5}, {1, 2}, {6, 7}, {6, 11}, {15, 16}, {20, 32}}) {
      for (const std::vector<int64_t>& chunks : std::vector<std::vector<int64_t>>{
               std::vector<int64_t>(50, 1), {5, 2, 9, 1, 1, 7, 3}, {40, 40}, {1, 40, 1, 17}}) {
        CachedOptions o = Sized(2, capacity, 4, 2, 9, 8);
        o.storage = storage;
        o.window_left = window;
        o.before = {0, static_cast<int32_t>(3 * capacity + 1)};
        AddCalls(&o, chunks);
        RunAndCompare(o, isa);
      }
    }
  }
}

// Rows of unequal lengths, with 0 new tokens, all new tokens, and all lengths 0.
void UnequalLengths(Isa isa) {
  for (Storage storage : kStorages) {
    for (int64_t window : {-1, 13}) {
      CachedOptions o = Sized(4, 64, 4, 2, 16, 15);
      o.storage = storage;
      o.window_left = window;
      o.calls = {{6, {6, 0, 3, 1}},   {20, {20, 0, 0, 7}}, {1, {1, 1, 0, 1}},
                 {18, {0, 18, 4, 0}}, {3, {0, 0, 0, 0}},   {1, {}}};
      RunAndCompare(o, isa);
      o.calls.erase(o.calls.begin());  // the first call copies, or has nothing to copy
      RunAndCompare(o, isa);
      o.before = {0, 12, 1, 3};
      RunAndCompare(o, isa);
    }
  }
}

// --- other options -------------------------------------------------------------------------------

void Beams(Isa isa) {
  for (Storage storage : kStorages) {
    for (int64_t window : {-1, 7}) {
      for (const std::vector<int64_t>& chunks :
           std::vector<std::vector<int64_t>>{std::vector<int64_t>(25, 1), {1, 2, 20, 1, 1}}) {
        CachedOptions o = Sized(6, window < 0 ? 60 : 8, 4, 2, 16, 8);
        o.storage = storage;
        o.window_left = window;
        o.beams = 3;
        o.before = {9, 9, 9, 2, 2, 2};
        AddCalls(&o, chunks);
        RunAndCompare(o, isa);
        o.calls.push_back({4, {1, 1, 1, 4, 4, 4}});
        o.calls.push_back({17, {17, 17, 17, 0, 0, 0}});
        o.calls.push_back({1, {}});
        RunAndCompare(o, isa);
      }
    }
  }
}

void AlibiAndLargeLogits(Isa isa) {
  for (Storage storage : kStorages) {
    for (int64_t window : {-1, 9}) {
      CachedOptions o = Sized(2, window < 0 ? 64 : 10, 4, 2, 8, 8);
      o.storage = storage;
      o.window_left = window;
      o.alibi_slopes = {0.5f, 0.25f, 0, -0.125f};
      AddCalls(&o, {3, 1, 25, 1, 1, 8, 1});
      RunAndCompare(o, isa);
      o.magnitude = 6;
      RunAndCompare(o, isa);
    }
  }
}

void EachSize(Isa isa) {
  for (Storage storage : kStorages) {
    for (int64_t size : {1, 2, 8, 15, 16, 17, 31, 32, 33, 64, 97, 128, 255, 256}) {
      CachedOptions o = Sized(1, 30, 2, 1, size, 257 - size);
      o.storage = storage;
      AddCalls(&o, {4, 1, 19, 1});
      RunAndCompare(o, isa);
    }
  }
}

void EmptyAxes(Isa isa) {
  for (CachedOptions o : {Sized(0, 5, 2, 1, 3, 5), Sized(2, 5, 0, 1, 3, 5)}) {
    AddCalls(&o, {1, 3, 0});
    RunAndCompare(o, isa);
  }
  CachedOptions nothing = Sized(2, 0, 2, 1, 3, 5);
  nothing.calls = {{0, {}}, {3, {0, 0}}, {40, {0, 0}}};
  RunAndCompare(nothing, isa);
}

// --- many tokens ---------------------------------------------------------------------------------

// Caches that are split among tasks, some of which contain the place where the slots wrap around,
// give the same bits on any number of threads.
void SameForAnyNumberOfThreads(Isa isa) {
  CachedOptions long_text = Sized(1, 3000, 2, 1, 16, 16);
  long_text.before = {2900};
  AddCalls(&long_text, {1, 5, 40, 1});
  CachedOptions ring = Sized(2, 2001, 4, 4, 8, 8);
  ring.window_left = 2000;
  ring.before = {2500, 4001};
  ring.calls = {{1, {}}, {16, {3, 16}}, {17, {17, 0}}, {1, {}}};
  CachedOptions beams = Sized(6, 700, 4, 2, 16, 16);
  beams.window_left = 650;
  beams.beams = 3;
  beams.before = {1030, 1030, 1030, 5, 5, 5};
  AddCalls(&beams, {1, 2, 1, 20, 1});
  for (CachedOptions o : {long_text, ring, beams}) {
    for (Storage storage : kStorages) {
      o.storage = storage;
      const CachedCase c(o);
      const CachedResults expected = c.Run(isa, kSerial);
      ExpectRight(c, expected, isa);
      for (int threads = 2; threads <= 8; ++threads) {
        ThreadPool pool(threads);
        Expect(c.Run(isa, pool.For()).SameBits(expected),
               std::string(IsaName(isa)) + " " + Describe(o) + ": " + std::to_string(threads) +
                   " threads give another result than one");
      }
    }
  }
}

// Positions up to the largest int32.
void LastPositions(Isa isa) {
  constexpr int32_t kHighest = std::numeric_limits<int32_t>::max();
  CachedOptions o = Sized(2, 37, 2, 1, 8, 8);
  o.before = {kHighest - 50, kHighest - 49};
  o.alibi_slopes = {0.5f, 0.0625f};
  o.calls = {{1, {}}, {6, {}}, {40, {40, 39}}, {1, {}}, {1, {}}};
  for (int64_t window : {0, 10, 36}) {
    o.window_left = window;
    RunAndCompare(o, isa);
  }
}

// A row has room if all its tokens fit, or if no token sees a slot that is overwritten.
void RoomIsForAllTokensOrTheWindow() {
  AttentionProblem p{};
  AttentionCache cache{};
  cache.capacity = 8;
  p.window_left = -1;
  Expect(HasRoom(p, cache, 5, 3) && !HasRoom(p, cache, 5, 4), "without a window all must fit");
  p.window_left = 8;
  Expect(HasRoom(p, cache, 5, 3) && !HasRoom(p, cache, 5, 4), "a larger window changes nothing");
  p.window_left = 7;
  Expect(HasRoom(p, cache, 5, 4), "a token at distance 7 is in the last 8 slots");
}

}  // namespace
}  // namespace ikelos

int main() {
  ikelos::RoomIsForAllTokensOrTheWindow();
  for (ikelos::Isa isa : ikelos::SupportedIsas()) {
    std::printf("%s\n", ikelos::IsaName(isa));
    ikelos::EachChunking(isa);
    ikelos::Rings(isa);
    ikelos::UnequalLengths(isa);
    ikelos::Beams(isa);
    ikelos::AlibiAndLargeLogits(isa);
    ikelos::EachSize(isa);
    ikelos::EmptyAxes(isa);
    ikelos::SameForAnyNumberOfThreads(isa);
    ikelos::LastPositions(isa);
  }
  std::printf("the largest error was %.2f tolerances\n", ikelos::worst_error);
  return ikelos::Verdict();
}
