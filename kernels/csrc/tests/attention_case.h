// One call of attention and its gradient with random numbers: made from options, run, and compared
// with the oracle.
#ifndef IKELOS_TESTS_ATTENTION_CASE_H_
#define IKELOS_TESTS_ATTENTION_CASE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "core/attention.h"
#include "tests/array.h"
#include "tests/attention_oracle.h"

namespace ikelos {

// Which axes of [B, N, T, S] a bias or mask has; it is broadcast along the others.
struct PairAxes {
  bool present = false;
  bool batch = false, head = false, query = false, key = false;
};

struct CaseOptions {
  Storage storage = Storage::kFloat32;
  int64_t batch = 1, queries = 1, keys = 1, heads = 1, key_heads = 1, size = 1, value_size = 1;
  int64_t padding = 0;       // elements between neighbours along every axis but the last
  bool heads_first = false;  // query, key and value lie as [B, N, T, H]

  PairAxes bias, mask;
  double masked = 0.3;  // the share of pairs whose mask is 0
  std::vector<int32_t> query_lengths, key_lengths, query_offsets;  // empty: none
  std::vector<float> alibi_slopes;
  float scale = 1;
  bool is_causal = false;
  int64_t window_left = -1, window_right = -1;
  int64_t cache_bytes = 1 << 20;
  float dropout_rate = 0;
  uint32_t seed[2] = {0, 0};

  bool residual_grad = true;
  double magnitude = 1;     // of query, key and bias
  int64_t guard_bytes = 0;  // behind each array
  uint32_t numbers = 1;     // seed of the random numbers
};

std::string Describe(const CaseOptions& options);

struct CaseResults {
  Array output, residual, query_grad, key_grad, value_grad, bias_grad;
  Array scratch;  // for its guard alone

  bool SameBits(const CaseResults& other) const;
};

// Numbers may be changed between construction and run. Positions beyond a length hold NaN.
struct AttentionCase {
  explicit AttentionCase(const CaseOptions& options);
  AttentionCase(const AttentionCase&) = delete;  // problem points into the arrays

  CaseResults Run(Isa isa, const ParallelFor& parallel_for) const;

  // Returns a description of the errors in the results, or "" if there are none: see Comparison.
  std::string Compare(const CaseResults& results, double* worst) const;

  CaseOptions options;
  Array query, key, value, bias, output_grad, residual_grad;
  std::vector<uint8_t> mask;
  int64_t bias_sizes[4];
  AttentionProblem problem;
};

// Where query, key or value hold an element; b, position, head.
int64_t At(const RowStrides& strides, int64_t b, int64_t position, int64_t head);

}  // namespace ikelos

#endif  // IKELOS_TESTS_ATTENTION_CASE_H_
