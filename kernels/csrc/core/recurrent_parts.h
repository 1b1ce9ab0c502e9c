// The parts of recurrent layers that are compiled once per instruction set. Each runs on one
// thread.
#ifndef IKELOS_CORE_RECURRENT_PARTS_H_
#define IKELOS_CORE_RECURRENT_PARTS_H_

#include <cstdint>

#include "core/parallel.h"
#include "core/recurrent.h"
#include "core/sequences.h"

namespace ikelos {

// Units are processed in panels of one vector. For each panel and step, four vectors are stored
// side by side, so that all gates of a unit are together:
//
//   kLstm:           input, forget, candidate, output
//   GRU:             candidate, update, reset, and (kGruResetAfter) the candidate's recurrent part
//
// The products with the kernel and with the recurrent kernel each give a run of these slots.
constexpr int64_t kSlots = 4;

struct Slots {
  int64_t first, count;
};

inline Slots InputSlots(RecurrentCell cell) {
  return {0, cell == RecurrentCell::kLstm ? kSlots : 3};
}

// Returns the slots of the product of the hidden state with the recurrent kernel; the candidate of
// kGru has a separate product.
inline Slots RecurrentSlots(RecurrentCell cell) {
  switch (cell) {
    case RecurrentCell::kLstm:
      return {0, 4};
    case RecurrentCell::kGru:
      return {1, 2};
    case RecurrentCell::kGruResetAfter:
      break;
  }
  return {1, 3};
}

// Returns the gate, in the order of the weights, that a slot holds.
inline int64_t GateOf(RecurrentCell cell, int64_t slot) {
  if (cell == RecurrentCell::kLstm) {
    return slot;
  }
  constexpr int64_t kGates[] = {2, 0, 1, 2};
  return kGates[slot];
}

inline bool IsGru(RecurrentCell cell) { return cell != RecurrentCell::kLstm; }

inline bool Normalises(const RecurrentProblem& p) { return p.kernel_scale != nullptr; }

// Moments of normalised gates, mean and 1 / standard deviation: of a step's products with the
// kernel, with the recurrent kernel, and of the cell state.
constexpr int64_t kMoments = 6;
// Vectors of a panel: the scales of normalised products with the kernel, those of products with the
// recurrent kernel, and the cell state's scale and offset.
constexpr int64_t kScales = 2 * kSlots + 2;

// Sizes of the arrays below, for vectors of `lanes` floats. More lanes never make them smaller.
struct RecurrentSizes {
  int64_t lanes;
  int64_t panels;          // of units
  int64_t wide;            // units of all panels
  int64_t unit_groups;     // of kSlots panels
  int64_t feature_groups;  // of kSlots vectors of features

  RecurrentSizes(const RecurrentProblem& p, int64_t lanes)
      : lanes(lanes),
        panels(CeilDiv(p.units, lanes)),
        wide(panels * lanes),
        unit_groups(CeilDiv(panels, kSlots)),
        feature_groups(CeilDiv(p.features, kSlots * lanes)) {}

  // Floats of a panel's weights: rows of the kernel [D, slots], of the recurrent kernel [U, slots],
  // of kGru's recurrent kernel for the candidate [U, 1], and the biases [slots], a vector each.
  // Only the biases if the kernels are read in place.
  int64_t PackedPanel(const RecurrentProblem& p) const {
    if (p.reads_in_place) {
      return lanes * kSlots;
    }
    const int64_t apart = p.cell == RecurrentCell::kGru ? 1 : 0;
    return lanes * (p.features * InputSlots(p.cell).count +
                    p.units * (RecurrentSlots(p.cell).count + apart) + kSlots);
  }
};

// State that the tasks of a call share. Steps are numbered as in Sequences, and so are the rows of
// gates, cells and gradients: [panels, steps, ...].
struct RecurrentState {
  const RecurrentProblem* problem;
  const Sequences* sequences;
  const float* packed;   // [panels, PackedPanel]
  const int64_t* block;  // [steps]: number of the first row of the block that the step is in
  float* inputs;         // of a block: [rows, features], each row begins a vector
  int64_t gate_rows;     // of all steps if there will be a gradient, else of the largest block
  float* products;       // with the kernel: [panels, gate_rows, kSlots, lanes]
  float* gates;  // as products, and mostly the same array: the activations, if they are needed
  // States after each step, for the gradient: cell states, or the hidden states of a GRU. [panels,
  // total, lanes], null if there will be no gradient.
  float* history;
  float* cells;      // kLstm: the current cell states, [panels, rows, lanes]
  float* hidden[2];  // hidden states before a step and after it, in turn: [rows, wide]
  // The same times recurrent_dropout_mask, [kSlots, rows, wide] each; null without it.
  float* masked[2];
  // With reads_in_place: products of the rows of a block or a step, before they are used. [rows,
  // kSlots, wide], null without it.
  float* in_place;
  float* reset;  // kGru: reset gate times hidden state (masked), [rows, wide]
  // Normalised gates only. The first two are for all steps if there will be a gradient, else for
  // one.
  float* recurrent_products;  // [panels, total or rows, kSlots, lanes]
  float* moments;             // [total or rows, kMoments]
  float* scales;              // [panels, kScales, lanes]

  // The first row of a step in products and gates.
  int64_t GateRow(int64_t panel, int64_t step) const {
    return panel * gate_rows + sequences->first[step] - (history == nullptr ? block[step] : 0);
  }
};

struct RecurrentGradState {
  const RecurrentProblem* problem;
  const RecurrentGradients* gradients;
  const Sequences* sequences;
  const float* gates;    // as saved
  const float* history;  // as saved
  float* initial;        // [panels, rows, lanes]: history before the first step
  float* kernel;         // transposed: [feature_groups, panels, input slots, lanes; kSlots * lanes]
  float* recurrent;  // transposed: [unit_groups, panels, recurrent slots, lanes; kSlots * lanes]
  float* candidate;  // kGru: the same of the candidate, one slot
  float* grads;      // of the arguments of the activations, laid out as gates
  float* recurrent_grads;  // of the products with the recurrent kernel: mostly the same array
  float* carry;  // other gradients that a step passes to the step before: [panels, rows, lanes]
  // Normalised gates only.
  const float* products;  // as saved, as is the next
  const float* recurrent_products;
  const float* moments;     // as saved
  float* scales;            // [panels, kScales, lanes]
  float* hidden_grads;      // of a step's hidden states: [panels, rows, lanes]
  float* tanh_input_grads;  // kLstm: of the arguments of the cells' tanh, [panels, total, lanes]
};

struct RecurrentForward {
  int64_t lanes;

  void (*pack)(const RecurrentProblem&, int64_t panel, float* packed);
  // Sets the initial states of a row, in processing order.
  void (*start)(const RecurrentState&, int64_t row);
  // Gathers the inputs of rows first <= row < last of the block that begins with a step, and
  // computes their products with the kernel, for panels begin <= panel < end.
  void (*gather)(const RecurrentState&, int64_t step, int64_t first, int64_t last);
  void (*project)(const RecurrentState&, int64_t step, int64_t begin, int64_t end, int64_t first,
                  int64_t last);
  // Computes a step for units of panels begin <= panel < end and rows first <= row < last. kGru's
  // has two phases: 0 up to the reset gate, 1 from there on.
  void (*step)(const RecurrentState&, const RecurrentResults&, int64_t step, int64_t phase,
               int64_t begin, int64_t end, int64_t first, int64_t last);
};

struct RecurrentBackward {
  int64_t lanes;

  // Packs one group of kSlots vectors of columns of the transposed kernel or recurrent kernel,
  // which has `rows` rows.
  void (*transpose)(const RecurrentProblem&, const void* weights, int64_t rows, int64_t group,
                    const Slots& slots, float* transposed);
  // Sets the history before the first step, for a row in processing order.
  void (*start)(const RecurrentGradState&, int64_t row);
  // As in RecurrentForward, from the last step to the first and once more, with step -1, for the
  // initial states; for groups of kSlots panels. Phase 1 of kGru is that of its reset gate.
  void (*step)(const RecurrentGradState&, int64_t step, int64_t phase, int64_t begin, int64_t end,
               int64_t first, int64_t last);
  // Gradients of the inputs of steps first <= i < first + count.
  void (*inputs_grad)(const RecurrentGradState&, int64_t first, int64_t count);
  // Gradients of rows first <= row < first + count of the kernel or the recurrent kernel, for a run
  // of its slots and panels begin <= panel < end. The row after the last is the bias.
  int64_t (*weights_scratch)(const RecurrentProblem&, int64_t count, int64_t panels);
  void (*kernel_grad)(const RecurrentGradState&, const Slots& slots, int64_t first, int64_t count,
                      int64_t begin, int64_t end, float* scratch);
  void (*recurrent_grad)(const RecurrentGradState&, const Slots& slots, int64_t first,
                         int64_t count, int64_t begin, int64_t end, float* scratch);
};

// The parts for normalised gates, which process all panels of a row at once. They replace or
// complement the parts above.
struct RecurrentNormalised {
  void (*pack)(const RecurrentProblem&, int64_t panel, float* scales);
  // Replaces `step` of RecurrentForward. Phase 0 is the product with the recurrent kernel; phase 1
  // needs all panels.
  void (*step)(const RecurrentState&, const RecurrentResults&, int64_t step, int64_t phase,
               int64_t begin, int64_t end, int64_t first, int64_t last);
  // Computes the gradients of the gates and of their products with the recurrent kernel from
  // hidden_grads, for rows first <= row < last.
  void (*back)(const RecurrentGradState&, int64_t step, int64_t first, int64_t last);
  // Gradients of a panel's scales, offsets and biases, from those of its gates.
  void (*scales_grad)(const RecurrentGradState&, int64_t panel);
  // Turns gradients of the gates of steps first <= i < first + count into those of their products
  // with the kernel.
  void (*products_grad)(const RecurrentGradState&, int64_t first, int64_t count);
};

#define IKELOS_DECLARE_RECURRENT(isa)                    \
  namespace isa {                                        \
  extern const RecurrentForward kRecurrentForward;       \
  extern const RecurrentBackward kRecurrentBackward;     \
  extern const RecurrentNormalised kRecurrentNormalised; \
  }
IKELOS_DECLARE_RECURRENT(portable)
IKELOS_DECLARE_RECURRENT(avx2)
IKELOS_DECLARE_RECURRENT(avx512)
#undef IKELOS_DECLARE_RECURRENT

}  // namespace ikelos

#endif  // IKELOS_CORE_RECURRENT_PARTS_H_
