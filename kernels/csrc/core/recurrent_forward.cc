// The forward pass of recurrent layers, for one instruction set: packs weights, multiplies inputs,
// and computes a step for tiles of rows and units.
#include "core/activations.h"
#include "core/pack.h"
#include "core/recurrent_forward_panel.h"
#include "core/recurrent_parts.h"
#include "core/tiles.h"

namespace ikelos {
namespace IKELOS_ISA {
namespace {

// --- weights ------------------------------------------------------------------------------------

// Copies a panel's columns of some slots, row by row: [depth, slots, kLanes].
float* PackSlots(const RecurrentProblem& p, const void* weights, int64_t depth, const Slots& slots,
                 int64_t panel, float* target) {
  const int64_t columns = NumGates(p.cell) * p.units, first = panel * kLanes;
  const int64_t left = p.units - first;
  for (int64_t d = 0; d < depth; ++d) {
    for (int64_t s = slots.first; s < slots.first + slots.count; ++s, target += kLanes) {
      const int64_t column = GateOf(p.cell, s) * p.units + first;
      Store(LoadPart(p.storage, weights, d * columns + column, left), target);
    }
  }
  return target;
}

// Packs one vector for each slot. Where the two products of a gate are simply added, so are its two
// biases.
void PackBias(const RecurrentProblem& p, int64_t panel, float* target) {
  const int64_t first = panel * kLanes, left = p.units - first;
  const bool after = p.cell == RecurrentCell::kGruResetAfter;
  for (int64_t s = 0; s < kSlots; ++s) {
    Floats sum = {};
    const int64_t gate = GateOf(p.cell, s) * p.units + first;
    if (p.bias != nullptr && s < InputSlots(p.cell).count) {
      sum += LoadPart(p.storage, p.bias, gate, left);
    }
    if (p.bias != nullptr && after && s >= RecurrentSlots(p.cell).first) {
      sum += LoadPart(p.storage, p.bias, 3 * p.units + gate, left);
    }
    Store(sum, target + s * kLanes);
  }
}

void Pack(const RecurrentProblem& p, int64_t panel, float* packed) {
  float* target = packed + panel * RecurrentSizes(p, kLanes).PackedPanel(p);
  if (!p.reads_in_place) {
    target = PackSlots(p, p.kernel, p.features, InputSlots(p.cell), panel, target);
    target = PackSlots(p, p.recurrent_kernel, p.units, RecurrentSlots(p.cell), panel, target);
    if (p.cell == RecurrentCell::kGru) {
      target = PackSlots(p, p.recurrent_kernel, p.units, {0, 1}, panel, target);
    }
  }
  PackBias(p, panel, target);
}

// --- products with the inputs --------------------------------------------------------------------

int64_t InputRow(const RecurrentProblem& p) { return RoundUp(p.features, kLanes); }

void Gather(const RecurrentState& state, int64_t step, int64_t first, int64_t last) {
  const RecurrentProblem& p = *state.problem;
  const int64_t* from = state.sequences->input + state.sequences->first[step];
  WithStorage(p.storage, p.inputs, [&](const auto* inputs) {
    for (int64_t i = first; i < last; ++i) {
      CopyRows(inputs + from[i] * p.features, 0, 1, p.features, 1.0f,
               state.inputs + i * InputRow(p), InputRow(p), 1);
    }
  });
}

template <int rows, int vectors>
__attribute__((noinline)) void ProjectTile(const float* a, int64_t a_row, const float* kernel,
                                           float* gates, int64_t depth) {
  Floats sums[rows][vectors] = {};
  MultiplyAdd(sums, a, a_row, 1, kernel, vectors * kLanes, depth);
#pragma GCC unroll 12
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) {
      Store(sums[i][v], gates + (i * kSlots + v) * kLanes);
    }
  }
}

template <int vectors>
void ProjectPanels(const RecurrentState& state, int64_t step, int64_t begin, int64_t end,
                   int64_t first, int64_t last) {
  const RecurrentProblem& p = *state.problem;
  for (int64_t q = begin; q < end; ++q) {
    const PanelWeights weights(state, q);
    float* products = state.products + state.GateRow(q, step) * kSlots * kLanes;
    ForTiles<kTileRows<vectors>>(first, last, [&](auto rows, int64_t i) {
      ProjectTile<decltype(rows)::value, vectors>(state.inputs + i * InputRow(p), InputRow(p),
                                                  weights.kernel, products + i * kSlots * kLanes,
                                                  p.features);
    });
  }
}

void ProjectInPlace(const RecurrentState& state, int64_t step, int64_t begin, int64_t end,
                    int64_t first, int64_t last) {
  const RecurrentProblem& p = *state.problem;
  const int64_t wide = RecurrentSizes(p, kLanes).wide;
  for (int64_t s = 0; s < InputSlots(p.cell).count; ++s) {
    MultiplyInPlace(state, p.kernel, p.features, s, state.inputs, InputRow(p), begin, end, first,
                    last);
    for (int64_t i = first; i < last; ++i) {
      for (int64_t q = begin; q < end; ++q) {
        Store(Load(state.in_place + (i * kSlots + s) * wide + q * kLanes),
              state.products + ((state.GateRow(q, step) + i) * kSlots + s) * kLanes);
      }
    }
  }
}

void Project(const RecurrentState& state, int64_t step, int64_t begin, int64_t end, int64_t first,
             int64_t last) {
  if (state.problem->reads_in_place) {
    ProjectInPlace(state, step, begin, end, first, last);
  } else if (IsGru(state.problem->cell)) {
    ProjectPanels<3>(state, step, begin, end, first, last);
  } else {
    ProjectPanels<4>(state, step, begin, end, first, last);
  }
}

// --- steps --------------------------------------------------------------------------------------

// Prefetches the memory that AddInputs and Finish touch some microseconds later. The outputs of a
// step are in no near cache, nor are its gates in a block with many rows, and no hardware
// prefetcher detects the pattern.
template <int rows>
inline void Prefetch(const ForwardPanel& panel, int64_t row) {
  for (int64_t i = row * kSlots; i < (row + rows) * kSlots; ++i) {
    __builtin_prefetch(panel.gates + i * kLanes, 1);
  }
  const int64_t first = panel.state.sequences->first[panel.step];
  const int64_t bytes = ElementBytes(panel.p.storage);
  for (int64_t i = row; i < row + rows; ++i) {
    const int64_t at = panel.state.sequences->output[first + i] * panel.p.units + panel.first_unit;
    __builtin_prefetch(static_cast<char*>(panel.results.outputs) + at * bytes, 1);
  }
}

// Adds the products with the inputs and the biases.
template <int rows, int vectors>
inline void AddInputs(const ForwardPanel& panel, int64_t row, int64_t slot,
                      Floats (&sums)[rows][vectors]) {
  const int64_t inputs = InputSlots(panel.p.cell).count;
#pragma GCC unroll 4
  for (int v = 0; v < vectors; ++v) {
    const Floats bias = Load(panel.weights.bias + (slot + v) * kLanes);
#pragma GCC unroll 12
    for (int i = 0; i < rows; ++i) {
      sums[i][v] += slot + v < inputs ? Load(panel.Gate(row + i, slot + v)) + bias : bias;
    }
  }
}

template <int rows>
__attribute__((noinline)) void LstmTile(const ForwardPanel& panel, int64_t row) {
  Floats sums[rows][4] = {};
  Prefetch<rows>(panel, row);
  AddRecurrent(panel, row, 0, sums);
  AddInputs(panel, row, 0, sums);
  for (int i = 0; i < rows; ++i) {
    const Floats input = Sigmoid(sums[i][0]), forget = Sigmoid(sums[i][1]);
    const Floats candidate = Tanh(sums[i][2]), output = Sigmoid(sums[i][3]);
    if (panel.state.history != nullptr) {
      Store(output, panel.Gate(row + i, 3));
    }
    const Floats cell = LstmCell(panel, row + i, input, forget, candidate);
    Finish(panel, row + i, output * Tanh(cell), cell);
  }
}

template <int rows>
__attribute__((noinline)) void GruAfterTile(const ForwardPanel& panel, int64_t row) {
  const bool saves = panel.state.history != nullptr;
  const Floats bias = Load(panel.weights.bias);
  Floats sums[rows][3] = {};
  Prefetch<rows>(panel, row);
  AddRecurrent(panel, row, 1, sums);
  AddInputs(panel, row, 1, sums);
  for (int i = 0; i < rows; ++i) {
    const Floats update = Sigmoid(sums[i][0]), reset = Sigmoid(sums[i][1]);
    const Floats candidate = Tanh(Load(panel.Gate(row + i, 0)) + bias + reset * sums[i][2]);
    if (saves) {
      Store(update, panel.Gate(row + i, 1));
      Store(reset, panel.Gate(row + i, 2));
      Store(sums[i][2], panel.Gate(row + i, 3));
    }
    FinishGru(panel, row + i, update, candidate);
  }
}

template <int rows>
__attribute__((noinline)) void GruResetTile(const ForwardPanel& panel, int64_t row) {
  Floats sums[rows][2] = {};
  Prefetch<rows>(panel, row);
  AddRecurrent(panel, row, 1, sums);
  AddInputs(panel, row, 1, sums);
  for (int i = 0; i < rows; ++i) {
    const Floats reset = Sigmoid(sums[i][1]);
    Store(Sigmoid(sums[i][0]), panel.Gate(row + i, 1));
    Store(reset, panel.Gate(row + i, 2));
    const int64_t at = (row + i) * panel.wide + panel.first_unit;
    const Floats hidden =
        panel.masked == nullptr ? Load(panel.hidden + at) : Load(panel.masked + at);
    Store(reset * hidden, panel.state.reset + at);
  }
}

template <int rows>
__attribute__((noinline)) void GruCandidateTile(const ForwardPanel& panel, int64_t row) {
  Floats sums[rows][1] = {};
  if (panel.p.reads_in_place) {
    AddInPlace(panel, row, 0, sums);
  } else {
    MultiplyAdd(sums, panel.state.reset + row * panel.wide, panel.wide, 1, panel.weights.candidate,
                kLanes, panel.p.units);
  }
  AddInputs(panel, row, 0, sums);
  for (int i = 0; i < rows; ++i) {
    FinishGru(panel, row + i, Load(panel.Gate(row + i, 1)), Tanh(sums[i][0]));
  }
}

void Step(const RecurrentState& state, const RecurrentResults& results, int64_t step, int64_t phase,
          int64_t begin, int64_t end, int64_t first, int64_t last) {
  if (state.problem->reads_in_place) {
    RecurrentInPlace(state, step, phase, begin, end, first, last);
  }
  for (int64_t q = begin; q < end; ++q) {
    const ForwardPanel panel(state, results, step, q);
    switch (panel.p.cell) {
      case RecurrentCell::kLstm:
        ForTiles<kTileRows<4>>(first, last, [&](auto rows, int64_t row) {
          LstmTile<decltype(rows)::value>(panel, row);
        });
        break;
      case RecurrentCell::kGruResetAfter:
        ForTiles<kTileRows<3>>(first, last, [&](auto rows, int64_t row) {
          GruAfterTile<decltype(rows)::value>(panel, row);
        });
        break;
      case RecurrentCell::kGru:
        if (phase == 0) {
          ForTiles<kTileRows<2>>(first, last, [&](auto rows, int64_t row) {
            GruResetTile<decltype(rows)::value>(panel, row);
          });
        } else {
          ForTiles<kTileRows<1>>(first, last, [&](auto rows, int64_t row) {
            GruCandidateTile<decltype(rows)::value>(panel, row);
          });
        }
        break;
    }
  }
}

void Start(const RecurrentState& state, int64_t row) {
  const RecurrentProblem& p = *state.problem;
  const int64_t from = state.sequences->row[row] * p.units;
  const RecurrentSizes sizes(p, kLanes);
  for (int64_t q = 0; q < sizes.panels; ++q) {
    const int64_t first = q * kLanes, left = p.units - first;
    StoreHidden(state, 0, row, q, LoadPart(p.storage, p.initial_hidden, from + first, left));
    if (p.cell == RecurrentCell::kLstm) {
      Store(LoadPart(p.storage, p.initial_cell, from + first, left),
            state.cells + (q * state.sequences->rows + row) * kLanes);
    }
  }
}

}  // namespace

extern const RecurrentForward kRecurrentForward;
const RecurrentForward kRecurrentForward = {kLanes, Pack, Start, Gather, Project, Step};

}  // namespace IKELOS_ISA
}  // namespace ikelos
