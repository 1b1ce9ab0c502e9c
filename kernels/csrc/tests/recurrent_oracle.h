// LSTM, GRU and their gradients in double, by plain loops over the definitions of core/recurrent.h,
// with a bound on the error that float32 arithmetic may make.
#ifndef IKELOS_TESTS_RECURRENT_ORACLE_H_
#define IKELOS_TESTS_RECURRENT_ORACLE_H_

#include <vector>

#include "core/recurrent.h"
#include "tests/number.h"

namespace ikelos {

// In the shapes of core/recurrent.h; empty where the problem has no such array. Errors include the
// rounding to the storage.
struct RecurrentNumbers {
  std::vector<Number> outputs, hidden, cell;
  std::vector<Number> inputs_grad, kernel_grad, recurrent_kernel_grad, bias_grad;
  std::vector<Number> initial_hidden_grad, initial_cell_grad;
  std::vector<Number> kernel_scale_grad, recurrent_scale_grad, cell_scale_grad, cell_offset_grad;
};

// `cell_grad` is read for kLstm only.
RecurrentNumbers RecurrentOracle(const RecurrentProblem& problem, const void* outputs_grad,
                                 const void* hidden_grad, const void* cell_grad);

}  // namespace ikelos

#endif  // IKELOS_TESTS_RECURRENT_ORACLE_H_
