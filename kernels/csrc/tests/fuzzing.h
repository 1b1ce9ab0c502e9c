// Helpers of the fuzzers.
#ifndef IKELOS_TESTS_FUZZING_H_
#define IKELOS_TESTS_FUZZING_H_

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "core/isa.h"
#include "tests/testing.h"

// Defined by the sanitizers, and null without one.
extern "C" __attribute__((weak)) void __sanitizer_set_death_callback(void (*callback)());

namespace ikelos {

class Random {
 public:
  explicit Random(uint64_t seed) : generator_(seed) {}

  int64_t Below(int64_t count) {
    return static_cast<int64_t>(generator_() % static_cast<uint64_t>(count));
  }
  bool OneIn(int64_t count) { return Below(count) == 0; }
  template <typename T>
  T OneOf(const std::vector<T>& values) {
    return values[static_cast<size_t>(Below(static_cast<int64_t>(values.size())))];
  }

 private:
  std::mt19937_64 generator_;
};

// Returns a description of the errors of a case on one instruction set, or "". `compare(results)`
// returns it for the results of one thread; the threads of `pool` must give the same results.
template <typename Case, typename Compare>
std::string RunAndCompare(const Case& c, Random& random, ThreadPool& pool, const Compare& compare) {
  const Isa isa = random.OneOf(SupportedIsas());
  const auto results = c.Run(isa, kSerial);
  std::string problems = compare(results);
  if (random.OneIn(2) && !c.Run(isa, pool.For()).SameBits(results)) {
    problems += "threads give another result; ";
  }
  return problems.empty() ? problems
                          : std::string(IsaName(isa)) + " " + Describe(c.options) + ": " + problems;
}

// Makes a random call; returns a description of its errors, or "". *worst: see Comparison.
using OneCall = std::function<std::string(Random& random, ThreadPool& pool, double* worst)>;

inline unsigned long current_seed = 0;

// The main function of `fuzz_NAME COUNT [SEED]`. Call i depends on SEED + i only, so `fuzz_NAME 1
// SEED` repeats a failed one.
inline int Fuzz(int argc, char** argv, const OneCall& one_call) {
  if (argc < 2) {
    std::printf("usage: %s COUNT [SEED]\n", argv[0]);
    return 2;
  }
  const unsigned long count = std::strtoul(argv[1], nullptr, 10);
  const unsigned long first_seed = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 0;
  if (__sanitizer_set_death_callback != nullptr) {
    __sanitizer_set_death_callback(
        [] { std::fprintf(stderr, "in the call of seed %lu\n", current_seed); });
  }
  ThreadPool pool(4);
  double worst = 0;
  for (unsigned long i = 0; i < count; ++i) {
    current_seed = first_seed + i;
    Random random(current_seed);
    const std::string problems = one_call(random, pool, &worst);
    Expect(problems.empty(), "seed " + std::to_string(current_seed) + ": " + problems);
  }
  std::printf("the largest error was %.2f tolerances\n", worst);
  return Verdict();
}

}  // namespace ikelos

#endif  // IKELOS_TESTS_FUZZING_H_
