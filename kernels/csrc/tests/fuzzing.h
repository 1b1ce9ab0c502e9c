// What the fuzzers share.
#ifndef IKELOS_TESTS_FUZZING_H_
#define IKELOS_TESTS_FUZZING_H_

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "tests/testing.h"

// The sanitizers' own; absent without one.
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

inline unsigned long current_seed = 0;

// The main function of `fuzz_NAME COUNT [SEED]`. Call i is made from SEED + i alone, so `fuzz_NAME
// 1 SEED` repeats one that failed; `one_call` returns what is wrong with it, or "".
inline int Fuzz(int argc, char** argv, const std::function<std::string(uint64_t seed)>& one_call) {
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
  for (unsigned long i = 0; i < count; ++i) {
    current_seed = first_seed + i;
    const std::string problems = one_call(current_seed);
    Expect(problems.empty(), "seed " + std::to_string(current_seed) + ": " + problems);
  }
  return Verdict();
}

}  // namespace ikelos

#endif  // IKELOS_TESTS_FUZZING_H_
