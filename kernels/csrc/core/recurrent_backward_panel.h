// The backward pass of one step for a panel of units: from its new states to its gates. Per-ISA
// sources only: see simd.h.
#ifndef IKELOS_CORE_RECURRENT_BACKWARD_PANEL_H_
#define IKELOS_CORE_RECURRENT_BACKWARD_PANEL_H_

#include "core/activations.h"
#include "core/pack.h"
#include "core/recurrent_parts.h"

namespace ikelos {
namespace IKELOS_ISA {

// Access to the arrays that a step reads and writes, for one panel: a vector of kLanes units.
struct BackwardPanel {
  const RecurrentGradState& state;
  const RecurrentProblem& p;
  const Sequences& sequences;
  int64_t step, index, first_unit, left;

  BackwardPanel(const RecurrentGradState& state, int64_t step, int64_t index)
      : state(state),
        p(*state.problem),
        sequences(*state.sequences),
        step(step),
        index(index),
        first_unit(index * kLanes),
        left(p.units - first_unit) {}

  int64_t At(int64_t of_step, int64_t row) const {
    return index * sequences.total + sequences.first[of_step] + row;
  }
  Floats Gate(int64_t row, int64_t slot) const {
    return Load(state.gates + (At(step, row) * kSlots + slot) * kLanes);
  }
  void StoreGrad(int64_t row, int64_t slot, Floats grad) const {
    Store(grad, state.grads + (At(step, row) * kSlots + slot) * kLanes);
  }
  // The state after the step, and before it.
  Floats After(int64_t row) const { return Load(state.history + At(step, row) * kLanes); }
  Floats Before(int64_t row) const {
    return Load(step > 0 ? state.history + At(step - 1, row) * kLanes
                         : state.initial + (index * sequences.rows + row) * kLanes);
  }
  float* Carry(int64_t row) const { return state.carry + (index * sequences.rows + row) * kLanes; }
  float* HiddenGrad(int64_t row) const {
    return state.hidden_grads + (index * sequences.rows + row) * kLanes;
  }
  // Returns whether this is the last step of the row, so that no later step has a gradient for it.
  bool IsLast(int64_t row) const { return step + 1 == sequences.length[row]; }

  Floats OfState(const void* states, int64_t row) const {
    return LoadPart(p.storage, states, sequences.row[row] * p.units + first_unit, left);
  }
  void StoreState(Floats values, int64_t row, void* states) const {
    StorePart(p.storage, values, states, sequences.row[row] * p.units + first_unit, left);
  }
  Floats Mask(int64_t row, int64_t slot) const {
    const int64_t of_row = sequences.row[row] * NumGates(p.cell) + GateOf(p.cell, slot);
    return LoadPart(p.storage, p.recurrent_dropout_mask, of_row * p.units + first_unit, left);
  }

  // Returns the gradient of the outputs, in which a step may be repeated.
  Floats OutputGrad(int64_t row) const {
    const int64_t at = sequences.first[step] + row;
    Floats sum = {};
    for (int64_t i = sequences.output[at]; i < sequences.output_end[at]; ++i) {
      sum += LoadPart(p.storage, state.gradients->outputs_grad, i * p.units + first_unit, left);
    }
    return sum;
  }
};

inline Floats SigmoidSlope(Floats value) { return value * (1.0f - value); }
inline Floats TanhSlope(Floats value) { return 1.0f - value * value; }

// Computes the gradient of the argument of a tanh with the value `tanh_cell` from the gradient of
// the hidden state.
inline Floats LstmOutputBack(const BackwardPanel& panel, int64_t row, Floats hidden_grad,
                             Floats tanh_cell) {
  const Floats output = panel.Gate(row, 3);
  panel.StoreGrad(row, 3, hidden_grad * tanh_cell * SigmoidSlope(output));
  return hidden_grad * output * TanhSlope(tanh_cell);
}

// `output_path_grad`: the gradient of the cell state through the step's hidden state.
inline void LstmCellBack(const BackwardPanel& panel, int64_t row, Floats output_path_grad) {
  const Floats input = panel.Gate(row, 0), forget = panel.Gate(row, 1);
  const Floats candidate = panel.Gate(row, 2);
  const Floats later = panel.IsLast(row) ? panel.OfState(panel.state.gradients->cell_grad, row)
                                         : Load(panel.Carry(row));
  const Floats cell_grad = later + output_path_grad;
  panel.StoreGrad(row, 0, cell_grad * candidate * SigmoidSlope(input));
  panel.StoreGrad(row, 1, cell_grad * panel.Before(row) * SigmoidSlope(forget));
  panel.StoreGrad(row, 2, cell_grad * input * TanhSlope(candidate));
  Store(cell_grad * forget, panel.Carry(row));
}

inline void GruBack(const BackwardPanel& panel, int64_t row, Floats hidden_grad) {
  const Floats candidate = panel.Gate(row, 0), update = panel.Gate(row, 1);
  const Floats candidate_grad = hidden_grad * (1.0f - update) * TanhSlope(candidate);
  panel.StoreGrad(row, 0, candidate_grad);
  panel.StoreGrad(row, 1, hidden_grad * (panel.Before(row) - candidate) * SigmoidSlope(update));
  if (panel.p.cell == RecurrentCell::kGruResetAfter) {
    const Floats reset = panel.Gate(row, 2);
    panel.StoreGrad(row, 2, candidate_grad * panel.Gate(row, 3) * SigmoidSlope(reset));
    panel.StoreGrad(row, 3, candidate_grad * reset);
  }
  Store(hidden_grad * update, panel.Carry(row));
}

}  // namespace IKELOS_ISA
}  // namespace ikelos

#endif  // IKELOS_CORE_RECURRENT_BACKWARD_PANEL_H_
