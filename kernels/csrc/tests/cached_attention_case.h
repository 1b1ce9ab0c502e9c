// Some tokens attended and appended to a cache call by call, with random numbers: made from
// options, run, and compared with the oracle of attention over all tokens of each row.
#ifndef IKELOS_TESTS_CACHED_ATTENTION_CASE_H_
#define IKELOS_TESTS_CACHED_ATTENTION_CASE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "core/cached_attention.h"
#include "tests/array.h"
#include "tests/attention_oracle.h"

namespace ikelos {

struct CallOptions {
  int64_t queries = 1;
  std::vector<int32_t> num_valid;  // empty: none
};

struct CachedOptions {
  Storage storage = Storage::kFloat32;
  int64_t batch = 1, capacity = 1, heads = 1, key_heads = 1, size = 1, value_size = 1;
  std::vector<int32_t> before;  // tokens of each row before the first call; empty: none
  std::vector<CallOptions> calls;
  // Rows per group, which must advance together; before each call, each row takes the place of a
  // random row of its group. 0: no row table.
  int64_t beams = 0;
  int64_t window_left = -1;
  std::vector<float> alibi_slopes;
  float scale = 1;
  double magnitude = 1;     // of query and key
  int64_t guard_bytes = 0;  // behind each array
  uint32_t numbers = 1;     // seed of the random numbers
};

std::string Describe(const CachedOptions& options);

struct CachedResults {
  std::vector<Array> outputs;  // of each call
  Array key, value;            // the cache after the last call
  std::vector<int32_t> lengths, rows;

  bool SameBits(const CachedResults& other) const;
};

// Padding, and slots of the cache without a token, hold NaN.
struct CachedCase {
  explicit CachedCase(const CachedOptions& options);

  CachedResults Run(Isa isa, const ParallelFor& parallel_for) const;

  // Returns a description of the errors in the results, or "" if there are none: see Comparison.
  std::string Compare(const CachedResults& results, double* worst) const;

  struct Call {
    Array query, key, value;
    std::vector<int32_t> parents;  // the row whose place each row takes before the call
  };
  CachedOptions options;
  Array first_key, first_value;  // the cache before the first call
  std::vector<Call> calls;
};

}  // namespace ikelos

#endif  // IKELOS_TESTS_CACHED_ATTENTION_CASE_H_
