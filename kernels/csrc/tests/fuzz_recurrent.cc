// Random calls of recurrent layers and their gradients, checked against the oracle: see fuzzing.h.
#include <string>
#include <vector>

#include "core/recurrent.h"
#include "tests/fuzzing.h"
#include "tests/recurrent_case.h"

namespace ikelos {
namespace {

// Mostly small, since the oracle's time grows with their product.
int64_t Size(Random& random, const std::vector<int64_t>& edges) {
  if (random.OneIn(6)) {
    return random.OneOf(edges);
  }
  return 1 + random.Below(9);
}

RecurrentOptions Options(Random& random) {
  RecurrentOptions o;
  o.cell = random.OneOf<RecurrentCell>(
      {RecurrentCell::kLstm, RecurrentCell::kGru, RecurrentCell::kGruResetAfter});
  o.storage = random.OneOf<Storage>({Storage::kFloat32, Storage::kBFloat16, Storage::kFloat16});
  do {
    o.batch = Size(random, {0, 12, 13, 16, 17, 31, 32, 33, 61, 100});
    // Not many: after a long decay the errors of all units come from the same early one, while the
    // oracle's bounds take them for independent.
    o.steps = Size(random, {0, 1, 1, 12});
    o.features = Size(random, {0, 15, 16, 17, 32, 33, 63, 64, 65, 130});
    o.units = Size(random, {15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 100, 129});
  } while (o.batch * o.steps * o.units * (o.features + o.units) > 150000);
  o.go_backwards = random.OneIn(2);
  o.zero_output_for_mask = random.OneIn(2);
  o.bias = !random.OneIn(4);
  if (random.OneIn(3)) {
    for (int64_t b = 0; b < o.batch; ++b) {
      o.lengths.push_back(static_cast<int32_t>(random.OneIn(5) ? 0 : random.Below(o.steps + 1)));
    }
  }
  o.mask = random.OneIn(3);
  o.masked = random.OneOf<double>({0, 0.1, 0.5, 0.9, 1});
  o.dropout_mask = random.OneIn(3);
  o.reads_in_place = random.OneIn(3);
  o.normalises = o.cell != RecurrentCell::kGru && random.OneIn(3);
  o.magnitude = random.OneIn(8) ? random.OneOf<double>({0, 1e-20, 10, 100, 3e4}) : 1;
  // Errors grow with every step where the recurrent weights are large.
  o.recurrent_magnitude =
      random.OneIn(8) ? random.OneOf<double>({0, 1e-20, o.steps < 10 ? 3.0 : 1.0}) : 1;
  o.numbers = static_cast<uint32_t>(random.Below(int64_t{1} << 32));
  return o;
}

std::string OneRecurrentCall(Random& random, ThreadPool& pool, double* worst) {
  const RecurrentCase c(Options(random));
  return RunAndCompare(c, random, pool, [&](const RecurrentCaseResults& results) {
    return c.Compare(results, c.Expected(), worst);
  });
}

}  // namespace
}  // namespace ikelos

int main(int argc, char** argv) { return ikelos::Fuzz(argc, argv, ikelos::OneRecurrentCall); }
