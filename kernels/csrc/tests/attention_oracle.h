// Attention and its gradients in double, by plain loops over the formulas of core/attention.h, with
// a bound on the error that float32 arithmetic may make.
#ifndef IKELOS_TESTS_ATTENTION_ORACLE_H_
#define IKELOS_TESTS_ATTENTION_ORACLE_H_

#include <cstdint>
#include <vector>

#include "core/attention.h"
#include "tests/number.h"

namespace ikelos {

// Dense, in the shapes of core/attention.h. Errors include the rounding to the storage.
struct AttentionNumbers {
  std::vector<Number> output, residual, query_grad, key_grad, value_grad, bias_grad;
};

// `residual_grad` may be null; `bias_grad_sizes` is not read where there is no bias.
AttentionNumbers AttentionOracle(const AttentionProblem& problem, const void* output_grad,
                                 const float* residual_grad, const int64_t bias_grad_sizes[4]);

// Whether dropout keeps a weight, from the text of core/dropout.h alone.
bool DropoutKeeps(const uint32_t seed[2], float rate, int64_t heads, int64_t b, int64_t n,
                  int64_t t, int64_t s);

}  // namespace ikelos

#endif  // IKELOS_TESTS_ATTENTION_ORACLE_H_
