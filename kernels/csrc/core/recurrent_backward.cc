// The backward pass of recurrent layers, for one instruction set.
#include "core/pack.h"
#include "core/recurrent_backward_panel.h"
#include "core/recurrent_parts.h"
#include "core/tiles.h"

namespace ikelos {
namespace IKELOS_ISA {
namespace {

constexpr int64_t kGroupColumns = kSlots * kLanes;

// Input rows that are multiplied at once for the weight gradients: with a panel's gradients they
// stay in the second-level cache.
constexpr int64_t kDepth = 256;

// --- transposed weights --------------------------------------------------------------------------

void Transpose(const RecurrentProblem& p, const void* weights, int64_t rows, int64_t group,
               const Slots& slots, float* transposed) {
  const RecurrentSizes sizes(p, kLanes);
  const int64_t row_size = NumGates(p.cell) * p.units;
  float* target = transposed + group * sizes.panels * slots.count * kLanes * kGroupColumns;
  for (int64_t q = 0; q < sizes.panels; ++q) {
    for (int64_t s = slots.first; s < slots.first + slots.count; ++s) {
      const int64_t column = GateOf(p.cell, s) * p.units + q * kLanes;
      const int64_t left = p.units - q * kLanes;
      for (int64_t v = 0; v < kSlots; ++v) {
        const int64_t first = group * kGroupColumns + v * kLanes;
        Floats square[kLanes];
        for (int64_t i = 0; i < kLanes; ++i) {
          square[i] = first + i < rows
                          ? LoadPart(p.storage, weights, (first + i) * row_size + column, left)
                          : Floats{};
        }
        TransposeSquare(square);
        for (int64_t i = 0; i < kLanes; ++i) {
          Store(square[i], target + i * kGroupColumns + v * kLanes);
        }
      }
      target += kLanes * kGroupColumns;
    }
  }
}

// --- steps ---------------------------------------------------------------------------------------

// kGru: takes the gradient of the product of reset gate and hidden state.
inline void GruResetBack(const BackwardPanel& panel, int64_t row, Floats product_grad) {
  const Floats reset = panel.Gate(row, 2);
  if (panel.p.recurrent_dropout_mask != nullptr) {
    product_grad *= panel.Mask(row, 0);
  }
  panel.StoreGrad(row, 2, product_grad * panel.Before(row) * SigmoidSlope(reset));
  Store(Load(panel.Carry(row)) + product_grad * reset, panel.Carry(row));
}

// Adds the products of a step's gradients with transposed weights.
template <int rows, int vectors>
inline void AddProduct(const RecurrentGradState& state, int64_t step, int64_t row, int64_t group,
                       const Slots& slots, const float* transposed, bool masked,
                       Floats (&sums)[rows][vectors]) {
  const RecurrentProblem& p = *state.problem;
  const Sequences& sequences = *state.sequences;
  const int64_t panels = RecurrentSizes(p, kLanes).panels;
  const int64_t depth = slots.count * kLanes;
  const float* b = transposed + group * panels * depth * kGroupColumns;
  const float* a =
      state.recurrent_grads + ((sequences.first[step] + row) * kSlots + slots.first) * kLanes;
  const int64_t a_panel = sequences.total * kSlots * kLanes;
  if (!masked) {
    for (int64_t q = 0; q < panels; ++q) {
      MultiplyAdd(sums, a + q * a_panel, kSlots * kLanes, 1, b + q * depth * kGroupColumns,
                  kGroupColumns, depth);
    }
    return;
  }
  for (int64_t s = 0; s < slots.count; ++s) {
    Floats part[rows][vectors] = {};
    for (int64_t q = 0; q < panels; ++q) {
      MultiplyAdd(part, a + q * a_panel + s * kLanes, kSlots * kLanes, 1,
                  b + (q * depth + s * kLanes) * kGroupColumns, kGroupColumns, kLanes);
    }
    for (int v = 0; v < vectors; ++v) {
      const BackwardPanel panel(state, step, group * kSlots + v);
      for (int i = 0; i < rows; ++i) {
        sums[i][v] += part[i][v] * panel.Mask(row + i, slots.first + s);
      }
    }
  }
}

// Backpropagates the gradient of a row's hidden state to the gates. It comes from the next step or,
// at the row's last step, from the final state.
inline void BackpropagateToGates(const BackwardPanel& panel, int64_t row, Floats hidden_grad) {
  const bool is_gru = IsGru(panel.p.cell);
  if (is_gru && !panel.IsLast(row)) {
    hidden_grad += Load(panel.Carry(row));
  }
  if (panel.step < 0) {
    panel.StoreState(hidden_grad, row, panel.state.gradients->initial_hidden_grad);
    if (!is_gru) {
      panel.StoreState(panel.IsLast(row) ? panel.OfState(panel.state.gradients->cell_grad, row)
                                         : Load(panel.Carry(row)),
                       row, panel.state.gradients->initial_cell_grad);
    }
    return;
  }
  hidden_grad += panel.OutputGrad(row);
  if (Normalises(panel.p)) {
    Store(hidden_grad, panel.HiddenGrad(row));
  } else if (is_gru) {
    GruBack(panel, row, hidden_grad);
  } else {
    LstmCellBack(panel, row, LstmOutputBack(panel, row, hidden_grad, Tanh(panel.After(row))));
  }
}

template <int rows, int vectors>
__attribute__((noinline)) void StepTile(const RecurrentGradState& state, int64_t step,
                                        int64_t phase, int64_t row, int64_t group) {
  const RecurrentProblem& p = *state.problem;
  Floats sums[rows][vectors] = {};
  if (phase == 0) {
    AddProduct(state, step + 1, row, group, RecurrentSlots(p.cell), state.recurrent,
               p.recurrent_dropout_mask != nullptr, sums);
  } else {
    AddProduct(state, step, row, group, {0, 1}, state.candidate, false, sums);
  }
  for (int v = 0; v < vectors; ++v) {
    const BackwardPanel panel(state, step, group * kSlots + v);
    for (int i = 0; i < rows; ++i) {
      if (phase == 0) {
        BackpropagateToGates(panel, row + i, sums[i][v]);
      } else {
        GruResetBack(panel, row + i, sums[i][v]);
      }
    }
  }
}

template <int vectors>
void StepGroup(const RecurrentGradState& state, int64_t step, int64_t phase, int64_t group,
               int64_t first, int64_t last) {
  // Phase 0 multiplies the gradients of the next step. Rows whose last step is this one have no
  // next step: they begin with the gradient of their final state.
  const int64_t going = phase == 0 ? state.sequences->Active(step + 1) : last;
  const int64_t ended = going < first ? first : going < last ? going : last;
  ForTiles<kTileRows<kSlots>>(first, ended, [&](auto rows, int64_t row) {
    StepTile<decltype(rows)::value, vectors>(state, step, phase, row, group);
  });
  for (int64_t v = 0; v < vectors; ++v) {
    const BackwardPanel panel(state, step, group * kSlots + v);
    for (int64_t row = ended; row < last; ++row) {
      BackpropagateToGates(panel, row, panel.OfState(state.gradients->hidden_grad, row));
    }
  }
}

// Calls f(Count<vectors>, group) with as many vectors as the group has.
template <typename F>
inline void ForGroups(int64_t begin, int64_t end, int64_t vectors, const F& f) {
  for (int64_t group = begin; group < end; ++group) {
    const int64_t left = vectors - group * kSlots;
    WithCount<kSlots>(left < kSlots ? left : kSlots, group, f);
  }
}

void Step(const RecurrentGradState& state, int64_t step, int64_t phase, int64_t begin, int64_t end,
          int64_t first, int64_t last) {
  ForGroups(begin, end, RecurrentSizes(*state.problem, kLanes).panels,
            [&](auto vectors, int64_t group) {
              StepGroup<decltype(vectors)::value>(state, step, phase, group, first, last);
            });
}

void Start(const RecurrentGradState& state, int64_t row) {
  const RecurrentProblem& p = *state.problem;
  const void* states = IsGru(p.cell) ? p.initial_hidden : p.initial_cell;
  const RecurrentSizes sizes(p, kLanes);
  for (int64_t q = 0; q < sizes.panels; ++q) {
    const BackwardPanel panel(state, 0, q);
    Store(panel.OfState(states, row), state.initial + (q * state.sequences->rows + row) * kLanes);
  }
}

// --- gradients of inputs and weights -------------------------------------------------------------

template <int rows, int vectors>
__attribute__((noinline)) void InputsTile(const RecurrentGradState& state, int64_t first,
                                          int64_t group) {
  const RecurrentProblem& p = *state.problem;
  const RecurrentSizes sizes(p, kLanes);
  const int64_t depth = InputSlots(p.cell).count * kLanes;
  Floats sums[rows][vectors] = {};
  for (int64_t q = 0; q < sizes.panels; ++q) {
    MultiplyAdd(
        sums, state.grads + (q * state.sequences->total + first) * kSlots * kLanes, kSlots * kLanes,
        1, state.kernel + (group * sizes.panels + q) * depth * kGroupColumns, kGroupColumns, depth);
  }
  for (int i = 0; i < rows; ++i) {
    const int64_t at = state.sequences->input[first + i] * p.features;
    for (int v = 0; v < vectors; ++v) {
      const int64_t feature = (group * kSlots + v) * kLanes;
      StorePart(p.storage, sums[i][v], state.gradients->inputs_grad, at + feature,
                p.features - feature);
    }
  }
}

void InputsGrad(const RecurrentGradState& state, int64_t first, int64_t count) {
  const RecurrentProblem& p = *state.problem;
  ForGroups(0, RecurrentSizes(p, kLanes).feature_groups, (p.features + kLanes - 1) / kLanes,
            [&](auto vectors, int64_t group) {
              ForTiles<kTileRows<kSlots>>(first, first + count, [&](auto rows, int64_t row) {
                InputsTile<decltype(rows)::value, decltype(vectors)::value>(state, row, group);
              });
            });
}

// Adds products of `count` columns of a [depth, a_step] with a panel's gradients b to sums [count,
// c_row].
template <int vectors>
void AddOuter(const float* a, int64_t a_step, int64_t count, const float* b, int64_t depth,
              float* c, int64_t c_row) {
  ForTiles<kTileRows<vectors>>(0, count, [&](auto rows, int64_t row) {
    GemmTile<decltype(rows)::value, vectors, Into::kSum>(a + row, 1, a_step, b, kSlots * kLanes,
                                                         c + row * c_row, c_row, nullptr, depth);
  });
}

int64_t WeightsScratch(const RecurrentProblem&, int64_t count, int64_t panels) {
  return kDepth * RoundUp(count, kLanes) + count * panels * kSlots * kLanes;
}

// The sum over all steps of outer products of the `count` floats that `read(step, row, target)`
// writes with `grads` (as in the state) of some slots of panels begin <= panel < end. Calls
// write(row, slot, panel, sum) for each vector of the sum.
template <typename Read, typename Write>
void OuterProducts(const RecurrentGradState& state, const float* grads, const Slots& slots,
                   int64_t count, int64_t begin, int64_t end, float* scratch, const Read& read,
                   const Write& write) {
  const Sequences& sequences = *state.sequences;
  const int64_t columns = RoundUp(count, kLanes), vectors = (end - begin) * slots.count;
  float* const sums = scratch + kDepth * columns;
  std::memset(sums, 0, static_cast<size_t>(count * vectors * kLanes) * sizeof(float));
  int64_t step = 0;
  for (int64_t first = 0; first < sequences.total; first += kDepth) {
    const int64_t depth = sequences.total - first < kDepth ? sequences.total - first : kDepth;
    for (int64_t i = 0; i < depth; ++i) {
      while (sequences.first[step + 1] <= first + i) {
        ++step;
      }
      read(step, first + i - sequences.first[step], scratch + i * columns);
    }
    for (int64_t q = begin; q < end; ++q) {
      const float* of_steps =
          grads + ((q * sequences.total + first) * kSlots + slots.first) * kLanes;
      float* const of_panel = sums + (q - begin) * slots.count * kLanes;
      WithCount<kSlots>(slots.count, 0, [&](auto n, int64_t) {
        AddOuter<decltype(n)::value>(scratch, columns, count, of_steps, depth, of_panel,
                                     vectors * kLanes);
      });
    }
  }
  for (int64_t row = 0; row < count; ++row) {
    for (int64_t v = 0; v < vectors; ++v) {
      write(row, slots.first + v % slots.count, begin + v / slots.count,
            Load(sums + (row * vectors + v) * kLanes));
    }
  }
}

// Writes one vector of a row of weight gradients; the row after the last is the bias.
void WriteGrad(const RecurrentProblem& p, void* weights_grad, int64_t rows, void* bias_grad,
               int64_t row, int64_t slot, int64_t panel, Floats sum) {
  const int64_t column = GateOf(p.cell, slot) * p.units + panel * kLanes;
  const bool is_bias = row == rows;
  StorePart(p.storage, sum, is_bias ? bias_grad : weights_grad,
            (is_bias ? 0 : row * NumGates(p.cell) * p.units) + column, p.units - panel * kLanes);
}

// Copies `count` columns from `first` on of a row [size] that is followed by a 1.
template <typename T>
inline void CopyWithOne(const T* row, int64_t size, int64_t first, int64_t count, float* target) {
  const int64_t present = size - first < count ? size - first : count;
  if (present > 0) {
    CopyRows(row + first, 0, 1, present, 1.0f, target, RoundUp(present, kLanes), 1);
  }
  if (present < count) {
    target[present] = 1.0f;
  }
}

void KernelGrad(const RecurrentGradState& state, const Slots& slots, int64_t first, int64_t count,
                int64_t begin, int64_t end, float* scratch) {
  const RecurrentProblem& p = *state.problem;
  WithStorage(p.storage, p.inputs, [&](const auto* inputs) {
    OuterProducts(
        state, state.grads, slots, count, begin, end, scratch,
        [&](int64_t step, int64_t row, float* target) {
          const int64_t at = state.sequences->input[state.sequences->first[step] + row];
          CopyWithOne(inputs + at * p.features, p.features, first, count, target);
        },
        [&](int64_t row, int64_t slot, int64_t panel, Floats sum) {
          WriteGrad(p, state.gradients->kernel_grad, p.features, state.gradients->bias_grad,
                    first + row, slot, panel, sum);
        });
  });
}

// Multiplies hidden states by the dropout mask and reset gate that they have in a slot's product.
inline void ScaleHidden(const RecurrentGradState& state, const Slots& slots, int64_t step,
                        int64_t row, int64_t first, int64_t count, float* hidden) {
  const RecurrentProblem& p = *state.problem;
  const bool resets = p.cell == RecurrentCell::kGru && slots.first == 0;
  if (p.recurrent_dropout_mask == nullptr && !resets) {
    return;
  }
  const int64_t present = p.units - first < count ? p.units - first : count;
  for (int64_t u = first; u < first + present; ++u) {
    const BackwardPanel panel(state, step, u / kLanes);
    if (p.recurrent_dropout_mask != nullptr) {
      hidden[u - first] *= panel.Mask(row, slots.first)[u % kLanes];
    }
    if (resets) {
      hidden[u - first] *= panel.Gate(row, 2)[u % kLanes];
    }
  }
}

void RecurrentWeightsGrad(const RecurrentGradState& state, const Slots& slots, int64_t first,
                          int64_t count, int64_t begin, int64_t end, float* scratch) {
  const RecurrentProblem& p = *state.problem;
  const Sequences& sequences = *state.sequences;
  // The second row of kGruResetAfter's bias; no other bias is a row after the last one here.
  char* const bias = static_cast<char*>(state.gradients->bias_grad);
  WithStorage(p.storage, p.initial_hidden, [&](const auto* initial) {
    const auto* outputs = static_cast<decltype(initial)>(state.gradients->outputs);
    OuterProducts(
        state, state.recurrent_grads, slots, count, begin, end, scratch,
        [&](int64_t step, int64_t row, float* target) {
          const auto* hidden =
              step == 0 ? initial + sequences.row[row] * p.units
                        : outputs + sequences.output[sequences.first[step - 1] + row] * p.units;
          CopyWithOne(hidden, p.units, first, count, target);
          ScaleHidden(state, slots, step, row, first, count, target);
        },
        [&](int64_t row, int64_t slot, int64_t panel, Floats sum) {
          WriteGrad(p, state.gradients->recurrent_kernel_grad, p.units,
                    bias == nullptr ? nullptr : bias + 3 * p.units * sizeof(*initial), first + row,
                    slot, panel, sum);
        });
  });
}

}  // namespace

extern const RecurrentBackward kRecurrentBackward;
const RecurrentBackward kRecurrentBackward = {
    kLanes, Transpose, Start, Step, InputsGrad, WeightsScratch, KernelGrad, RecurrentWeightsGrad};

}  // namespace IKELOS_ISA
}  // namespace ikelos
