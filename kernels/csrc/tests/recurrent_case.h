// One call of a recurrent layer and its gradient with random numbers: made from options, run, and
// compared with the oracle.
#ifndef IKELOS_TESTS_RECURRENT_CASE_H_
#define IKELOS_TESTS_RECURRENT_CASE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "core/recurrent.h"
#include "tests/array.h"
#include "tests/recurrent_oracle.h"

namespace ikelos {

struct RecurrentOptions {
  RecurrentCell cell = RecurrentCell::kLstm;
  Storage storage = Storage::kFloat32;
  int64_t batch = 1, steps = 1, features = 1, units = 1;
  bool go_backwards = false, zero_output_for_mask = false;
  bool bias = true;
  std::vector<int32_t> lengths;  // empty: none
  bool mask = false;
  double masked = 0.3;  // the share of steps whose mask is 0
  bool dropout_mask = false;
  bool normalises = false;
  bool reads_in_place = false;

  double magnitude = 1;            // of inputs and bias
  double recurrent_magnitude = 1;  // of the recurrent kernel: see RecurrentCase
  int64_t guard_bytes = 0;         // behind each array
  uint32_t numbers = 1;            // seed of the random numbers
};

std::string Describe(const RecurrentOptions& options);

struct RecurrentCaseResults {
  Array outputs, hidden, cell;
  Array plain_outputs, plain_hidden, plain_cell;  // of a call that saves nothing
  Array inputs_grad, kernel_grad, recurrent_kernel_grad, bias_grad;
  Array initial_hidden_grad, initial_cell_grad;
  Array kernel_scale_grad, recurrent_scale_grad, cell_scale_grad, cell_offset_grad;
  Array packed, saved, scratch, plain_scratch, grad_scratch;  // to check their guards

  bool SameBits(const RecurrentCaseResults& other) const;
};

// Numbers may be changed between construction and run. Numbers that the definitions do not use are
// NaN: inputs of invalid steps, and gradients of outputs that are always 0.
//
// The weights of the recurrent kernel are so small that errors hardly grow from step to step, so
// their bounds stay tight.
struct RecurrentCase {
  explicit RecurrentCase(const RecurrentOptions& options);
  RecurrentCase(const RecurrentCase&) = delete;  // problem points into the arrays

  // Packs the weights once, for two calls: one that saves the values for its gradient, and one that
  // does not.
  RecurrentCaseResults Run(Isa isa, const ParallelFor& parallel_for) const;

  RecurrentNumbers Expected() const;

  // Returns a description of the errors in the results, or "" if there are none: see Comparison.
  std::string Compare(const RecurrentCaseResults& results, const RecurrentNumbers& expected,
                      double* worst) const;

  bool IsValid(int64_t b, int64_t position) const;

  RecurrentOptions options;
  Array inputs, kernel, recurrent_kernel, bias, initial_hidden, initial_cell, dropout_mask;
  Array kernel_scale, recurrent_scale, cell_scale, cell_offset;
  Array outputs_grad, hidden_grad, cell_grad;
  std::vector<uint8_t> mask;
  RecurrentProblem problem;
};

}  // namespace ikelos

#endif  // IKELOS_TESTS_RECURRENT_CASE_H_
