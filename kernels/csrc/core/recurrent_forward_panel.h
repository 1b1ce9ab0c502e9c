// A step of the forward pass for a panel of units, and the storing of its new states. Per-ISA
// sources only: see simd.h.
#ifndef IKELOS_CORE_RECURRENT_FORWARD_PANEL_H_
#define IKELOS_CORE_RECURRENT_FORWARD_PANEL_H_

#include "core/multiply_rows.h"
#include "core/recurrent_parts.h"

namespace ikelos {
namespace IKELOS_ISA {

// Pointers to the parts of a panel's weights.
struct PanelWeights {
  const float *kernel, *recurrent, *candidate, *bias;

  PanelWeights(const RecurrentState& state, int64_t panel) {
    const RecurrentProblem& p = *state.problem;
    kernel = state.packed + panel * RecurrentSizes(p, kLanes).PackedPanel(p);
    if (p.reads_in_place) {
      kernel = recurrent = candidate = nullptr;
      bias = state.packed + panel * RecurrentSizes(p, kLanes).PackedPanel(p);
      return;
    }
    recurrent = kernel + p.features * InputSlots(p.cell).count * kLanes;
    candidate = recurrent + p.units * RecurrentSlots(p.cell).count * kLanes;
    bias = candidate + (p.cell == RecurrentCell::kGru ? p.units * kLanes : 0);
  }
};

// Access to the arrays that a step reads and writes, for one panel: a vector of kLanes units.
struct ForwardPanel {
  const RecurrentState& state;
  const RecurrentProblem& p;
  const RecurrentResults& results;
  int64_t step, index;
  int64_t wide, first_unit, left;  // units from this panel's first on
  const float* hidden;             // of all units, before the step
  const float* masked;
  float* gates;  // of the step's first row
  PanelWeights weights;

  ForwardPanel(const RecurrentState& state, const RecurrentResults& results, int64_t step,
               int64_t index)
      : state(state),
        p(*state.problem),
        results(results),
        step(step),
        index(index),
        wide(RecurrentSizes(p, kLanes).wide),
        first_unit(index * kLanes),
        left(p.units - first_unit),
        hidden(state.hidden[step % 2]),
        masked(state.masked[step % 2]),
        gates(state.gates + state.GateRow(index, step) * kSlots * kLanes),
        weights(state, index) {}

  float* Gate(int64_t row, int64_t slot) const { return gates + (row * kSlots + slot) * kLanes; }

  // This panel's part of the history.
  float* History(int64_t of_step, int64_t row) const {
    return state.history +
           (index * state.sequences->total + state.sequences->first[of_step] + row) * kLanes;
  }
  float* Cell(int64_t row) const {
    return state.cells + (index * state.sequences->rows + row) * kLanes;
  }
};

// Writes the products of rows first <= row < last with a slot of a kernel that is read in place,
// for panels begin <= panel < end, to where AddInPlace reads them.
inline void MultiplyInPlace(const RecurrentState& state, const void* weights, int64_t depth,
                            int64_t slot, const float* a, int64_t a_row, int64_t begin, int64_t end,
                            int64_t first, int64_t last) {
  const RecurrentProblem& p = *state.problem;
  const int64_t wide = RecurrentSizes(p, kLanes).wide, unit = begin * kLanes;
  const int64_t left = p.units - unit, columns = (end - begin) * kLanes;
  WithStorage(p.storage, weights, [&](const auto* kernel) {
    MultiplyRows(kernel + GateOf(p.cell, slot) * p.units + unit, NumGates(p.cell) * p.units, depth,
                 left < columns ? left : columns, a + first * a_row, a_row, last - first,
                 state.in_place + (first * kSlots + slot) * wide + unit, kSlots * wide);
  });
}

// Does this for a phase of a step, in which the recurrent kernel multiplies hidden states.
inline void RecurrentInPlace(const RecurrentState& state, int64_t step, int64_t phase,
                             int64_t begin, int64_t end, int64_t first, int64_t last) {
  const RecurrentProblem& p = *state.problem;
  const int64_t wide = RecurrentSizes(p, kLanes).wide;
  const auto multiply = [&](int64_t slot, const float* a) {
    MultiplyInPlace(state, p.recurrent_kernel, p.units, slot, a, wide, begin, end, first, last);
  };
  if (p.cell == RecurrentCell::kGru && phase == 1) {
    multiply(0, state.reset);
    return;
  }
  const Slots slots = RecurrentSlots(p.cell);
  for (int64_t s = slots.first; s < slots.first + slots.count; ++s) {
    const float* masked = state.masked[step % 2];
    multiply(
        s, masked == nullptr ? state.hidden[step % 2] : masked + s * state.sequences->rows * wide);
  }
}

template <int rows, int vectors>
inline void AddInPlace(const ForwardPanel& panel, int64_t row, int64_t slot,
                       Floats (&sums)[rows][vectors]) {
  for (int i = 0; i < rows; ++i) {
    for (int v = 0; v < vectors; ++v) {
      sums[i][v] += Load(panel.state.in_place + ((row + i) * kSlots + slot + v) * panel.wide +
                         panel.first_unit);
    }
  }
}

// Adds the products of hidden states with the recurrent kernel. With a dropout mask, each slot has
// separate masked hidden states.
template <int rows, int vectors>
inline void AddRecurrent(const ForwardPanel& panel, int64_t row, int64_t slot,
                         Floats (&sums)[rows][vectors]) {
  if (panel.p.reads_in_place) {
    AddInPlace(panel, row, slot, sums);
    return;
  }
  if (panel.masked == nullptr) {
    MultiplyAdd(sums, panel.hidden + row * panel.wide, panel.wide, 1, panel.weights.recurrent,
                vectors * kLanes, panel.p.units);
    return;
  }
  for (int v = 0; v < vectors; ++v) {
    Floats part[rows][1] = {};
    MultiplyAdd(part, panel.masked + ((slot + v) * panel.state.sequences->rows + row) * panel.wide,
                panel.wide, 1, panel.weights.recurrent + v * kLanes, vectors * kLanes,
                panel.p.units);
    for (int i = 0; i < rows; ++i) {
      sums[i][v] += part[i][0];
    }
  }
}

// Writes a row's hidden state to the place where the next step reads it or, if `into` is 0, the
// first step.
inline void StoreHidden(const RecurrentState& state, int64_t into, int64_t row, int64_t panel,
                        Floats hidden) {
  const RecurrentProblem& p = *state.problem;
  const int64_t wide = RecurrentSizes(p, kLanes).wide, first = panel * kLanes;
  const int64_t rows = state.sequences->rows;
  Store(hidden, state.hidden[into] + row * wide + first);
  if (p.recurrent_dropout_mask == nullptr) {
    return;
  }
  for (int64_t s = 0; s < kSlots; ++s) {
    const int64_t of_row = state.sequences->row[row] * NumGates(p.cell) + GateOf(p.cell, s);
    const Floats factor =
        LoadPart(p.storage, p.recurrent_dropout_mask, of_row * p.units + first, p.units - first);
    Store(hidden * factor, state.masked[into] + (s * rows + row) * wide + first);
  }
}

// Passes a row's new hidden state on to the outputs, the next step and the final states.
inline void Finish(const ForwardPanel& panel, int64_t row, Floats hidden, Floats cell) {
  const RecurrentProblem& p = panel.p;
  const RecurrentState& state = panel.state;
  const Sequences& sequences = *state.sequences;
  const int64_t at = sequences.first[panel.step] + row;
  const bool is_last = panel.step + 1 == sequences.length[row];
  const int64_t state_at = sequences.row[row] * p.units + panel.first_unit;
  for (int64_t i = sequences.output[at]; i < sequences.output_end[at]; ++i) {
    StorePart(p.storage, hidden, panel.results.outputs, i * p.units + panel.first_unit, panel.left);
  }
  if (is_last) {
    StorePart(p.storage, hidden, panel.results.hidden, state_at, panel.left);
    if (p.cell == RecurrentCell::kLstm) {
      StorePart(p.storage, cell, panel.results.cell, state_at, panel.left);
    }
    return;
  }
  const int64_t next = (panel.step + 1) % 2;
  StoreHidden(state, next, row, panel.index, hidden);
}

// Returns the new cell state of an LSTM, and saves it with the gates if there will be a gradient.
inline Floats LstmCell(const ForwardPanel& panel, int64_t row, Floats input, Floats forget,
                       Floats candidate) {
  const bool saves = panel.state.history != nullptr;
  const float* before =
      saves && panel.step > 0 ? panel.History(panel.step - 1, row) : panel.Cell(row);
  const Floats cell = forget * Load(before) + input * candidate;
  if (saves) {
    Store(input, panel.Gate(row, 0));
    Store(forget, panel.Gate(row, 1));
    Store(candidate, panel.Gate(row, 2));
  }
  Store(cell, saves ? panel.History(panel.step, row) : panel.Cell(row));
  return cell;
}

// Computes the new hidden state of a GRU, and saves it if there will be a gradient.
inline void FinishGru(const ForwardPanel& panel, int64_t row, Floats update, Floats candidate) {
  const Floats before = Load(panel.hidden + row * panel.wide + panel.first_unit);
  const Floats hidden = candidate + update * (before - candidate);
  if (panel.state.history != nullptr) {
    Store(candidate, panel.Gate(row, 0));
    Store(hidden, panel.History(panel.step, row));
  }
  Finish(panel, row, hidden, Floats{});
}

}  // namespace IKELOS_ISA
}  // namespace ikelos

#endif  // IKELOS_CORE_RECURRENT_FORWARD_PANEL_H_
