// Random calls of attention and its gradient, checked against the oracle: see fuzzing.h.
#include <limits>
#include <string>
#include <vector>

#include "core/attention.h"
#include "tests/attention_case.h"
#include "tests/fuzzing.h"

namespace ikelos {
namespace {

// Mostly small, since the oracle's time grows with their product; with `large`, more than the few
// hundred that kernels take at a time.
int64_t Length(Random& random, bool large) {
  if (random.OneIn(40)) {
    return 0;
  }
  if (large && random.OneIn(2)) {
    return 1 + random.Below(450);
  }
  if (random.OneIn(8)) {
    return 1 + random.Below(70);
  }
  return 1 + random.Below(9);
}

int64_t Size(Random& random) {
  if (random.OneIn(50)) {
    return random.OneOf<int64_t>({64, 97, 128, 129, 200, 255, 256});
  }
  if (random.OneIn(4)) {
    return random.OneOf<int64_t>({15, 16, 17, 31, 32, 33});
  }
  return 1 + random.Below(9);
}

PairAxes Axes(Random& random) {
  return {random.OneIn(3), random.OneIn(2), random.OneIn(2), random.OneIn(2), !random.OneIn(4)};
}

std::vector<int32_t> Lengths(Random& random, int64_t batch, int64_t all) {
  std::vector<int32_t> lengths;
  if (!random.OneIn(3)) {
    return lengths;
  }
  for (int64_t b = 0; b < batch; ++b) {
    lengths.push_back(static_cast<int32_t>(random.OneIn(5) ? 0 : random.Below(all + 1)));
  }
  return lengths;
}

int32_t Offset(Random& random, const CaseOptions& o) {
  if (random.OneIn(8)) {
    const int64_t from_limit = random.Below(12);
    return static_cast<int32_t>(random.OneIn(2) ? std::numeric_limits<int32_t>::max() - from_limit
                                                : std::numeric_limits<int32_t>::min() + from_limit);
  }
  return static_cast<int32_t>(random.Below(o.queries + o.keys + 3) - o.queries - 1);
}

int64_t Window(Random& random, const CaseOptions& o) {
  if (!random.OneIn(3)) {
    return -1;
  }
  if (random.OneIn(8)) {
    return random.OneOf<int64_t>({std::numeric_limits<int32_t>::max(), int64_t{1} << 31,
                                  (int64_t{1} << 31) + 5, int64_t{1} << 40,
                                  std::numeric_limits<int64_t>::max() - 3,
                                  std::numeric_limits<int64_t>::max()});
  }
  return random.Below(o.keys + 2);
}

CaseOptions Options(Random& random) {
  CaseOptions o;
  o.storage = random.OneOf<Storage>({Storage::kFloat32, Storage::kBFloat16, Storage::kFloat16});
  const bool large = random.OneIn(20);
  do {
    o.batch = random.OneIn(40) ? 0 : 1 + random.Below(3);
    o.queries = random.OneIn(4) ? 1 : Length(random, large);
    o.keys = Length(random, large);
    o.key_heads = 1 + random.Below(2);
    o.heads = random.OneIn(100) ? 0 : o.key_heads * (1 + random.Below(3));
    o.size = Size(random);
    o.value_size = random.OneIn(2) ? o.size : Size(random);
  } while (o.batch * o.queries * o.keys * o.heads * (o.size + o.value_size) >
           (large ? 1500000 : 100000));
  o.padding = random.OneIn(3) ? 1 + random.Below(5) : 0;
  o.heads_first = random.OneIn(3);
  o.bias = Axes(random);
  o.mask = Axes(random);
  o.masked = random.OneOf<double>({0, 0.1, 0.5, 0.9, 1});
  o.query_lengths = Lengths(random, o.batch, o.queries);
  o.key_lengths = Lengths(random, o.batch, o.keys);
  if (random.OneIn(3)) {
    for (int64_t b = 0; b < o.batch; ++b) {
      o.query_offsets.push_back(Offset(random, o));
    }
  }
  if (random.OneIn(4)) {
    for (int64_t n = 0; n < o.heads; ++n) {
      o.alibi_slopes.push_back(random.OneOf<float>({0, 0.5f, 0.0625f, -0.25f, 1e-9f, 100}));
    }
  }
  o.scale = random.OneIn(10) ? random.OneOf<float>({0, 1, -1, 3e-30f, 20}) : 0.3f;
  o.is_causal = random.OneIn(2);
  o.window_left = Window(random, o);
  o.window_right = Window(random, o);
  o.cache_bytes = random.OneOf<int64_t>({0, 1 << 18, 1 << 19, 1 << 20, 1 << 22});
  if (random.OneIn(3)) {
    o.dropout_rate = random.OneOf<float>({1e-9f, 0.1f, 0.5f, 0.9f});
  }
  o.seed[0] = static_cast<uint32_t>(random.Below(int64_t{1} << 32));
  o.seed[1] = static_cast<uint32_t>(random.Below(int64_t{1} << 32));
  o.residual_grad = random.OneIn(2);
  o.magnitude = random.OneIn(8) ? random.OneOf<double>({0, 1e-20, 10, 100, 3e4}) : 1;
  o.numbers = static_cast<uint32_t>(random.Below(int64_t{1} << 32));
  return o;
}

// Replaces a few numbers by NaN, infinities and the like.
void SpoilBias(Random& random, AttentionCase* c) {
  if (c->bias.size() == 0 || !random.OneIn(4)) {
    return;
  }
  const double infinity = std::numeric_limits<double>::infinity();
  const std::vector<double> masking = {-infinity, -3e38, -1e31};
  const std::vector<double> all = {
      -infinity, -3e38, -9e29, -1e4, 1e4, 1e29, infinity, std::numeric_limits<double>::quiet_NaN()};
  const std::vector<double> values = random.OneIn(2) ? masking : all;
  for (int64_t i = 1 + random.Below(c->bias.size()); i > 0; --i) {
    c->bias.Set(random.Below(c->bias.size()), random.OneOf(values));
  }
}

std::string OneAttentionCall(Random& random, ThreadPool& pool, double* worst) {
  AttentionCase c(Options(random));
  SpoilBias(random, &c);
  return RunAndCompare(c, random, pool,
                       [&](const CaseResults& results) { return c.Compare(results, worst); });
}

}  // namespace
}  // namespace ikelos

int main(int argc, char** argv) { return ikelos::Fuzz(argc, argv, ikelos::OneAttentionCall); }
