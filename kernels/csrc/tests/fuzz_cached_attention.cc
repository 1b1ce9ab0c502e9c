// Random calls of attention with a cache, checked against the oracle: see fuzzing.h.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "core/cached_attention.h"
#include "tests/cached_attention_case.h"
#include "tests/fuzzing.h"

namespace ikelos {
namespace {

int64_t Size(Random& random) {
  if (random.OneIn(50)) {
    return random.OneOf<int64_t>({64, 97, 128, 129, 200, 255, 256});
  }
  return random.OneIn(4) ? random.OneOf<int64_t>({15, 16, 17, 31, 32, 33}) : 1 + random.Below(9);
}

// One number for each group of rows, from 0 to `most`.
std::vector<int32_t> OfGroups(Random& random, const CachedOptions& o, int64_t most) {
  std::vector<int32_t> counts;
  while (static_cast<int64_t>(counts.size()) < o.batch) {
    const int64_t count = random.OneIn(5) ? 0 : random.Below(most + 1);
    counts.insert(counts.end(), static_cast<size_t>(std::max<int64_t>(1, o.beams)),
                  static_cast<int32_t>(count));
  }
  return counts;
}

CachedOptions Options(Random& random) {
  CachedOptions o;
  o.storage = random.OneOf<Storage>({Storage::kFloat32, Storage::kBFloat16, Storage::kFloat16});
  o.beams = random.OneIn(3) ? 1 + random.Below(3) : 0;
  o.batch = random.OneIn(40) ? 0 : (1 + random.Below(3)) * std::max<int64_t>(1, o.beams);
  o.key_heads = 1 + random.Below(2);
  o.heads = random.OneIn(100) ? 0 : o.key_heads * (1 + random.Below(3));
  o.size = Size(random);
  o.value_size = random.OneIn(2) ? o.size : Size(random);
  int64_t most = 0;
  for (int64_t i = random.Below(7); i >= 0; --i) {
    CallOptions call;
    call.queries = random.OneIn(2)    ? 1
                   : random.OneIn(30) ? 0
                   : random.OneIn(3)  ? 1 + random.Below(40)
                                      : 1 + random.Below(9);
    if (random.OneIn(3)) {
      call.num_valid = OfGroups(random, o, call.queries);
    }
    most += call.queries;
    o.calls.push_back(call);
  }
  int64_t before = 0;
  if (random.OneIn(2)) {
    // Seldom more than the tokens that a task of decoding takes at least.
    before = random.OneIn(20) ? 600 : 20;
    o.before = OfGroups(random, o, before);
  }
  if (random.OneIn(2)) {
    o.capacity = before + most + random.Below(3);
    o.window_left = random.OneIn(2) ? -1 : random.Below(o.capacity + 3);
  } else {
    o.capacity = 1 + random.Below(before + most + 3);
    o.window_left = random.Below(o.capacity);
    if (random.OneIn(10)) {
      const int64_t last = std::numeric_limits<int32_t>::max() - most;
      o.before.assign(static_cast<size_t>(o.batch),
                      static_cast<int32_t>(last - random.Below(2 * o.capacity)));
    }
  }
  if (random.OneIn(4)) {
    for (int64_t n = 0; n < o.heads; ++n) {
      o.alibi_slopes.push_back(random.OneOf<float>({0, 0.5f, 0.0625f, -0.25f, 1e-9f, 100}));
    }
  }
  o.scale = random.OneIn(10) ? random.OneOf<float>({0, 1, -1, 3e-30f, 20}) : 0.3f;
  o.magnitude = random.OneIn(8) ? random.OneOf<double>({0, 1e-20, 10, 100, 3e4}) : 1;
  o.guard_bytes = random.OneIn(2) ? 64 : 0;
  o.numbers = static_cast<uint32_t>(random.Below(int64_t{1} << 32));
  return o;
}

std::string OneCachedCall(Random& random, ThreadPool& pool, double* worst) {
  const CachedCase c(Options(random));
  return RunAndCompare(c, random, pool,
                       [&](const CachedResults& results) { return c.Compare(results, worst); });
}

}  // namespace
}  // namespace ikelos

int main(int argc, char** argv) { return ikelos::Fuzz(argc, argv, ikelos::OneCachedCall); }
