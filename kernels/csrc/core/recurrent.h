// Recurrent layers over whole sequences, forward and backward: LSTM (Hochreiter & Schmidhuber 1997;
// forget gate of Gers et al. 2000) and GRU (Cho et al. 2014).
#ifndef IKELOS_CORE_RECURRENT_H_
#define IKELOS_CORE_RECURRENT_H_

#include <cstdint>

#include "core/half.h"
#include "core/isa.h"
#include "core/parallel.h"

namespace ikelos {

// Gates are in the order of Keras's weights. kLstm: input, forget, candidate, output. GRU: update,
// reset, candidate; the candidate's recurrent part is tanh(x W + (r * h) R) with the reset gate
// before the product (kGru), tanh(x W + r * (h R + recurrent bias)) with it after (kGruResetAfter).
enum class RecurrentCell { kLstm, kGru, kGruResetAfter };

inline int64_t NumGates(RecurrentCell cell) { return cell == RecurrentCell::kLstm ? 4 : 3; }

// Arithmetic is in float32 whatever the storage, for the states between steps too, and rounded once
// at the end. Only the gradient of the recurrent kernel uses hidden states as rounded in the
// outputs. Results don't depend on parallel_for.
//
// All arrays are dense and row-major. A step of a row is valid if it lies within the row's length
// and its mask is not 0; invalid steps leave the states unchanged.
struct RecurrentProblem {
  int64_t batch, steps, features, units;  // B, T, D, U; U is at least 1
  RecurrentCell cell;
  Storage storage;  // of all arrays but lengths and mask
  bool
      go_backwards;  // process the steps from last to first; outputs are in the order of processing
  bool zero_output_for_mask;     // output of invalid steps: 0, or if false, that of the last valid
                                 // step; 0 before the first valid step
  const void* inputs;            // [B, T, D]
  const void* kernel;            // [D, G * U], G gates
  const void* recurrent_kernel;  // [U, G * U]
  const void* bias;              // [G * U], kGruResetAfter [2, G * U]: input, recurrent; or null
  const void* initial_hidden;    // [B, U]
  const void* initial_cell;      // [B, U], kLstm only
  const int32_t* lengths;        // [B], each within [0, T]; or null: T
  const uint8_t* mask;           // [B, T]; or null: all valid
  // Whether kernel and recurrent kernel are read where they are, instead of packed: see
  // PackingCostsMore. The results have the same bits.
  bool reads_in_place;
  // Factors [B, G, U] of the hidden state before its product with a gate's recurrent kernel; or
  // null: 1.
  const void* recurrent_dropout_mask;

  // Normalised gates (Ba et al. 2016, supplement), if these are given (the last two for kLstm
  // only): the products x W and h R are each normalised over the G * U gates of a step, to mean 0
  // and variance 1, and multiplied by a scale, before biases are added. For the output, the cell
  // state is likewise normalised over U. Not for kGru, whose candidate has a separate product.
  const void* kernel_scale;     // [G * U]; or null: not normalised
  const void* recurrent_scale;  // [G * U]
  const void* cell_scale;       // [U]
  const void* cell_offset;      // [U]
  float epsilon;                // added to the variances
};

struct RecurrentResults {
  void* outputs;  // [B, T, U]
  void* hidden;   // [B, U], after the last valid step
  void* cell;     // [B, U], kLstm only
  float*
      saved;  // RecurrentSaved(problem) floats for the gradient; or null: it will not be computed
};

// Gradients of a scalar with respect to the results, and where to write those of the arguments.
struct RecurrentGradients {
  const void* outputs;  // as Recurrent wrote them
  const float* saved;
  const void* outputs_grad;  // [B, T, U]
  const void* hidden_grad;   // [B, U]
  const void* cell_grad;     // [B, U], kLstm only
  void* inputs_grad;
  void* kernel_grad;
  void* recurrent_kernel_grad;
  void* bias_grad;  // null if there is no bias
  void* initial_hidden_grad;
  void* initial_cell_grad;  // kLstm only
  void* kernel_scale_grad;  // this and the next three as in the problem
  void* recurrent_scale_grad;
  void* cell_scale_grad;
  void* cell_offset_grad;
};

// Weights in the order in which the products read them; with reads_in_place, the bias alone. They
// may be reused from call to call as long as kernel, recurrent kernel and bias do not change.
int64_t RecurrentPacked(const RecurrentProblem& problem);  // floats
void PackRecurrent(const RecurrentProblem& problem, float* packed, Isa isa,
                   const ParallelFor& parallel_for);

// Returns whether a call that cannot reuse packed weights is faster with reads_in_place.
bool PackingCostsMore(const RecurrentProblem& problem);

// The number of floats in each array. It depends on sizes, cell, storage and which of the optional
// arrays are given, not on their contents.
int64_t RecurrentSaved(const RecurrentProblem& problem);
int64_t RecurrentScratch(const RecurrentProblem& problem, bool saves);
int64_t RecurrentGradScratch(const RecurrentProblem& problem);

void Recurrent(const RecurrentProblem& problem, const float* packed,
               const RecurrentResults& results, float* scratch, Isa isa,
               const ParallelFor& parallel_for);
void RecurrentGrad(const RecurrentProblem& problem, const RecurrentGradients& gradients,
                   float* scratch, Isa isa, const ParallelFor& parallel_for);

}  // namespace ikelos

#endif  // IKELOS_CORE_RECURRENT_H_
