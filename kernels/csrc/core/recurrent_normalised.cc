// Recurrent layers with normalised gates, for one instruction set: the parts of a step, forward and
// backward, that need all units of a row, and the gradients of the scales.
#include "core/activations.h"
#include "core/recurrent_backward_panel.h"
#include "core/recurrent_forward_panel.h"
#include "core/recurrent_parts.h"
#include "core/tiles.h"

namespace ikelos {
namespace IKELOS_ISA {
namespace {

constexpr int64_t kVectors = kSlots * kLanes;  // floats of a panel's gates, and of their products

// Rows whose moments are computed, panel by panel, before the first one is processed further: they
// stay in the second-level cache.
constexpr int64_t kRows = 8;

// --- normalisation ------------------------------------------------------------------------------

// Mean and 1 / standard deviation.
struct Moments {
  float mean, inverse_deviation;
};

inline Moments LoadMoments(const float* moments) { return {moments[0], moments[1]}; }
inline void StoreMoments(Moments values, float* moments) {
  moments[0] = values.mean;
  moments[1] = values.inverse_deviation;
}

// `values` with 0 in the lanes beyond the last unit.
inline Floats Units(Floats values, int64_t left) {
  if (left >= kLanes) {
    return values;
  }
  Integers lanes;
  for (int i = 0; i < kLanes; ++i) {
    lanes[i] = i;
  }
  return lanes < static_cast<int32_t>(left) ? values : Floats{};
}

inline Floats Normalised(Floats values, Moments moments, int64_t left) {
  return Units((values - moments.mean) * moments.inverse_deviation, left);
}

template <int count>
inline float SumAll(const Floats (&sums)[count]) {
  Floats sum = sums[0];
  for (int i = 1; i < count; ++i) {
    sum += sums[i];
  }
  return Sum(sum);
}

// The moments of a row's `count` vectors in each panel; panels are `panel_step` floats apart. Lanes
// beyond the last unit hold 0.
template <int count>
Moments Measure(const RecurrentProblem& p, const float* row, int64_t panel_step) {
  const float size = static_cast<float>(count * p.units);
  Floats sums[count] = {};
  const float* at = row;
  for (int64_t left = p.units; left > 0; left -= kLanes, at += panel_step) {
    for (int v = 0; v < count; ++v) {
      sums[v] += Load(at + v * kLanes);
    }
  }
  const float mean = SumAll(sums) / size;
  Floats squares[count] = {};
  at = row;
  for (int64_t left = p.units; left > 0; left -= kLanes, at += panel_step) {
    for (int v = 0; v < count; ++v) {
      const Floats centred = Units(Load(at + v * kLanes) - mean, left);
      squares[v] += centred * centred;
    }
  }
  return {mean, 1.0f / __builtin_sqrtf(SumAll(squares) / size + p.epsilon)};
}

// The components that normalisation removes from a row's gradient: its mean, and its mean product
// with the normalised values.
struct Removed {
  float mean, correlation;
};

// Lanes beyond the last unit may get any finite value: their weights are 0.
inline Floats NormalisedBack(Floats grad, Floats normalised, Removed removed,
                             float inverse_deviation) {
  return (grad - removed.mean - normalised * removed.correlation) * inverse_deviation;
}

// Computes the gradients of a row's products from those of its scaled, normalised products; both
// may be in the same place. There are `count` vectors in each panel. Scales are [panels, kScales,
// lanes], all other arrays [panels, total, kSlots, lanes].
template <int count>
void ProductsBack(const RecurrentGradState& state, const float* grads, const float* normalised,
                  const float* scales, float inverse_deviation, float* products_grad) {
  const int64_t units = state.problem->units, panel_step = state.sequences->total * kVectors;
  const float size = static_cast<float>(count * units);
  Floats sums[count] = {}, products[count] = {};
  for (int64_t q = 0; q * kLanes < units; ++q) {
    for (int v = 0; v < count; ++v) {
      const int64_t at = q * panel_step + v * kLanes;
      const Floats grad = Load(grads + at) * Load(scales + (q * kScales + v) * kLanes);
      sums[v] += grad;
      products[v] += grad * Load(normalised + at);
    }
  }
  const Removed removed = {SumAll(sums) / size, SumAll(products) / size};
  for (int64_t q = 0; q * kLanes < units; ++q) {
    for (int v = 0; v < count; ++v) {
      const int64_t at = q * panel_step + v * kLanes;
      const Floats grad = Load(grads + at) * Load(scales + (q * kScales + v) * kLanes);
      Store(NormalisedBack(grad, Load(normalised + at), removed, inverse_deviation),
            products_grad + at);
    }
  }
}

// The slots of a product, as constants.
template <bool is_gru>
constexpr int kInputCount = is_gru ? 3 : 4;
template <bool is_gru>
constexpr int kRecurrentFirst = is_gru ? 1 : 0;
template <bool is_gru>
constexpr int kRecurrentCount = kSlots - kRecurrentFirst<is_gru>;

// Positions of the scales of a panel, in vectors.
constexpr int64_t kOfRecurrent = kSlots, kOfCell = 2 * kSlots, kOffset = 2 * kSlots + 1;

void Pack(const RecurrentProblem& p, int64_t panel, float* scales) {
  const int64_t first = panel * kLanes, left = p.units - first;
  const auto store = [&](const void* values, int64_t from, int64_t vector) {
    Store(values == nullptr ? Floats{} : LoadPart(p.storage, values, from + first, left),
          scales + vector * kLanes);
  };
  for (int64_t s = 0; s < kSlots; ++s) {
    const int64_t gate = GateOf(p.cell, s) * p.units;
    store(p.kernel_scale, gate, s);
    store(p.recurrent_scale, gate, kOfRecurrent + s);
  }
  store(p.cell_scale, 0, kOfCell);
  store(p.cell_offset, 0, kOffset);
}

// --- forward ------------------------------------------------------------------------------------

// Position of a step's rows in arrays that hold all steps if there will be a gradient, and
// otherwise one step: the first row, and the number of rows per panel.
struct Kept {
  int64_t first, rows;

  Kept(const RecurrentState& state, int64_t step)
      : first(state.history == nullptr ? 0 : state.sequences->first[step]),
        rows(state.history == nullptr ? state.sequences->rows : state.sequences->total) {}

  int64_t At(int64_t panel, int64_t row) const { return panel * rows + first + row; }
};

template <int rows, int vectors>
__attribute__((noinline)) void ProductTile(const ForwardPanel& panel, int64_t row, int64_t slot,
                                           float* products) {
  Floats sums[rows][vectors] = {};
  AddRecurrent(panel, row, slot, sums);
  for (int i = 0; i < rows; ++i) {
    for (int v = 0; v < vectors; ++v) {
      Store(sums[i][v], products + i * kVectors + (slot + v) * kLanes);
    }
  }
}

template <bool is_gru>
void Products(const ForwardPanel& panel, int64_t first, int64_t last) {
  const Kept kept(panel.state, panel.step);
  constexpr int count = kRecurrentCount<is_gru>;
  ForTiles<kTileRows<count>>(first, last, [&](auto rows, int64_t row) {
    ProductTile<decltype(rows)::value, count>(
        panel, row, kRecurrentFirst<is_gru>,
        panel.state.recurrent_products + kept.At(panel.index, row) * kVectors);
  });
}

// Computes the arguments of the activations, in the order of the slots. Leaves the normalised
// products in memory if there will be a gradient.
template <bool is_gru>
inline void GateSums(const ForwardPanel& panel, const Kept& kept, int64_t row,
                     Floats (&sums)[kSlots]) {
  const RecurrentState& state = panel.state;
  float* from_inputs = state.products + (state.GateRow(panel.index, panel.step) + row) * kVectors;
  float* from_hidden = state.recurrent_products + kept.At(panel.index, row) * kVectors;
  const float* moments = state.moments + kept.At(0, row) * kMoments;
  const float* scales = state.scales + panel.index * kScales * kLanes;
  const auto add = [&](float* product, Moments of_row, const float* scale, Floats* sum) {
    const Floats normalised = Normalised(Load(product), of_row, panel.left);
    if (state.history != nullptr) {
      Store(normalised, product);
    }
    *sum += normalised * Load(scale);
  };
#pragma GCC unroll 4
  for (int s = 0; s < kSlots; ++s) {
    sums[s] = Load(panel.weights.bias + s * kLanes);
    if (s < kInputCount<is_gru>) {
      add(from_inputs + s * kLanes, LoadMoments(moments), scales + s * kLanes, &sums[s]);
    }
    if (s >= kRecurrentFirst<is_gru>) {
      add(from_hidden + s * kLanes, LoadMoments(moments + 2), scales + (kOfRecurrent + s) * kLanes,
          &sums[s]);
    }
  }
}

void LstmGates(const ForwardPanel& panel, const Kept& kept, int64_t row) {
  Floats sums[kSlots];
  GateSums<false>(panel, kept, row, sums);
  LstmCell(panel, row, Sigmoid(sums[0]), Sigmoid(sums[1]), Tanh(sums[2]));
  Store(Sigmoid(sums[3]), panel.Gate(row, 3));
}

// Computes the hidden states of a row from its cell states.
void LstmHidden(const ForwardPanel& panel, const Kept& kept, const float* cells, int64_t row) {
  const float* scales = panel.state.scales + panel.index * kScales * kLanes;
  const Moments moments = LoadMoments(panel.state.moments + kept.At(0, row) * kMoments + 4);
  const Floats cell = Load(cells + kept.At(panel.index, row) * kLanes);
  const Floats tanh_cell =
      Tanh(Normalised(cell, moments, panel.left) * Load(scales + kOfCell * kLanes) +
           Load(scales + kOffset * kLanes));
  Finish(panel, row, Load(panel.Gate(row, 3)) * tanh_cell, cell);
}

void GruGates(const ForwardPanel& panel, const Kept& kept, int64_t row) {
  Floats sums[kSlots];
  GateSums<true>(panel, kept, row, sums);
  const Floats update = Sigmoid(sums[1]), reset = Sigmoid(sums[2]);
  if (panel.state.history != nullptr) {
    Store(update, panel.Gate(row, 1));
    Store(reset, panel.Gate(row, 2));
    Store(sums[3], panel.Gate(row, 3));
  }
  FinishGru(panel, row, update, Tanh(sums[0] + reset * sums[3]));
}

// Calls f(panel, row) for each of some rows, panel by panel.
template <typename F>
void ForPanels(const RecurrentState& state, const RecurrentResults& results, int64_t step,
               int64_t first, int64_t last, const F& f) {
  for (int64_t q = 0; q * kLanes < state.problem->units; ++q) {
    const ForwardPanel panel(state, results, step, q);
    for (int64_t row = first; row < last; ++row) {
      f(panel, row);
    }
  }
}

template <bool is_gru>
void Rows(const RecurrentState& state, const RecurrentResults& results, int64_t step, int64_t first,
          int64_t last) {
  const RecurrentProblem& p = *state.problem;
  const Kept kept(state, step);
  for (int64_t row = first; row < last; ++row) {
    float* moments = state.moments + kept.At(0, row) * kMoments;
    StoreMoments(
        Measure<kInputCount<is_gru>>(p, state.products + (state.GateRow(0, step) + row) * kVectors,
                                     state.gate_rows * kVectors),
        moments);
    StoreMoments(
        Measure<kRecurrentCount<is_gru>>(p,
                                         state.recurrent_products + kept.At(0, row) * kVectors +
                                             kRecurrentFirst<is_gru> * kLanes,
                                         kept.rows * kVectors),
        moments + 2);
  }
  if constexpr (is_gru) {
    ForPanels(state, results, step, first, last,
              [&](const ForwardPanel& panel, int64_t row) { GruGates(panel, kept, row); });
  } else {
    ForPanels(state, results, step, first, last,
              [&](const ForwardPanel& panel, int64_t row) { LstmGates(panel, kept, row); });
    const float* cells = state.history == nullptr ? state.cells : state.history;
    for (int64_t row = first; row < last; ++row) {
      StoreMoments(Measure<1>(p, cells + kept.At(0, row) * kLanes, kept.rows * kLanes),
                   state.moments + kept.At(0, row) * kMoments + 4);
    }
    ForPanels(state, results, step, first, last,
              [&](const ForwardPanel& panel, int64_t row) { LstmHidden(panel, kept, cells, row); });
  }
}

template <bool is_gru>
void StepOf(const RecurrentState& state, const RecurrentResults& results, int64_t step,
            int64_t phase, int64_t begin, int64_t end, int64_t first, int64_t last) {
  if (phase == 0) {
    if (state.problem->reads_in_place) {
      RecurrentInPlace(state, step, phase, begin, end, first, last);
    }
    for (int64_t q = begin; q < end; ++q) {
      Products<is_gru>(ForwardPanel(state, results, step, q), first, last);
    }
    return;
  }
  for (int64_t row = first; row < last; row += kRows) {
    Rows<is_gru>(state, results, step, row, row + kRows < last ? row + kRows : last);
  }
}

void Step(const RecurrentState& state, const RecurrentResults& results, int64_t step, int64_t phase,
          int64_t begin, int64_t end, int64_t first, int64_t last) {
  const auto of = IsGru(state.problem->cell) ? StepOf<true> : StepOf<false>;
  of(state, results, step, phase, begin, end, first, last);
}

// --- backward -----------------------------------------------------------------------------------

void LstmRowBack(const RecurrentGradState& state, int64_t step, int64_t row) {
  const RecurrentProblem& p = *state.problem;
  const Moments moments =
      LoadMoments(state.moments + (state.sequences->first[step] + row) * kMoments + 4);
  Floats sum = {}, products = {};
  for (int64_t q = 0; q * kLanes < p.units; ++q) {
    const BackwardPanel panel(state, step, q);
    const float* scales = state.scales + q * kScales * kLanes;
    const Floats scale = Load(scales + kOfCell * kLanes);
    const Floats normalised = Normalised(panel.After(row), moments, panel.left);
    const Floats tanh_cell = Tanh(normalised * scale + Load(scales + kOffset * kLanes));
    const Floats output_path_grad =
        LstmOutputBack(panel, row, Load(panel.HiddenGrad(row)), tanh_cell);
    Store(output_path_grad, state.tanh_input_grads + panel.At(step, row) * kLanes);
    sum += output_path_grad * scale;
    products += output_path_grad * scale * normalised;
  }
  const float size = static_cast<float>(p.units);
  const Removed removed = {Sum(sum) / size, Sum(products) / size};
  for (int64_t q = 0; q * kLanes < p.units; ++q) {
    const BackwardPanel panel(state, step, q);
    const Floats scale = Load(state.scales + (q * kScales + kOfCell) * kLanes);
    const Floats normalised = Normalised(panel.After(row), moments, panel.left);
    const Floats grad = Load(state.tanh_input_grads + panel.At(step, row) * kLanes) * scale;
    LstmCellBack(panel, row, NormalisedBack(grad, normalised, removed, moments.inverse_deviation));
  }
}

template <bool is_gru>
void RowBack(const RecurrentGradState& state, int64_t step, int64_t row) {
  if constexpr (is_gru) {
    for (int64_t q = 0; q * kLanes < state.problem->units; ++q) {
      const BackwardPanel panel(state, step, q);
      GruBack(panel, row, Load(panel.HiddenGrad(row)));
    }
  } else {
    LstmRowBack(state, step, row);
  }
  constexpr int64_t slot = kRecurrentFirst<is_gru>;
  const int64_t index = state.sequences->first[step] + row, at = index * kVectors + slot * kLanes;
  ProductsBack<kRecurrentCount<is_gru>>(
      state, state.grads + at, state.recurrent_products + at,
      state.scales + (kOfRecurrent + slot) * kLanes,
      LoadMoments(state.moments + index * kMoments + 2).inverse_deviation,
      state.recurrent_grads + at);
}

void Back(const RecurrentGradState& state, int64_t step, int64_t first, int64_t last) {
  const auto row_back = IsGru(state.problem->cell) ? RowBack<true> : RowBack<false>;
  for (int64_t row = first; row < last; ++row) {
    row_back(state, step, row);
  }
}

template <bool is_gru>
void ProductsGradOf(const RecurrentGradState& state, int64_t first, int64_t count) {
  for (int64_t i = first; i < first + count; ++i) {
    const int64_t at = i * kVectors;
    ProductsBack<kInputCount<is_gru>>(state, state.grads + at, state.products + at, state.scales,
                                      LoadMoments(state.moments + i * kMoments).inverse_deviation,
                                      state.grads + at);
  }
}

void ProductsGrad(const RecurrentGradState& state, int64_t first, int64_t count) {
  const auto of = IsGru(state.problem->cell) ? ProductsGradOf<true> : ProductsGradOf<false>;
  of(state, first, count);
}

template <bool is_gru>
void GateScalesGrad(const RecurrentGradState& state, int64_t panel) {
  const RecurrentProblem& p = *state.problem;
  const RecurrentGradients& gradients = *state.gradients;
  const int64_t total = state.sequences->total, of_panel = panel * total * kVectors;
  Floats sums[kSlots] = {}, kernel_scale_grad[kSlots] = {}, recurrent_scale_grad[kSlots] = {};
  for (int64_t at = of_panel; at < of_panel + total * kVectors; at += kVectors) {
#pragma GCC unroll 4
    for (int s = 0; s < kSlots; ++s) {
      const Floats grad = Load(state.grads + at + s * kLanes);
      sums[s] += grad;
      if (s < kInputCount<is_gru>) {
        kernel_scale_grad[s] += grad * Load(state.products + at + s * kLanes);
      }
      if (s >= kRecurrentFirst<is_gru>) {
        recurrent_scale_grad[s] += grad * Load(state.recurrent_products + at + s * kLanes);
      }
    }
  }
  const int64_t first = panel * kLanes, left = p.units - first;
  for (int s = 0; s < kSlots; ++s) {
    const int64_t column = GateOf(p.cell, s) * p.units + first;
    if (s < kInputCount<is_gru>) {
      StorePart(p.storage, kernel_scale_grad[s], gradients.kernel_scale_grad, column, left);
      if (gradients.bias_grad != nullptr) {
        StorePart(p.storage, sums[s], gradients.bias_grad, column, left);
      }
    }
    if (s >= kRecurrentFirst<is_gru>) {
      StorePart(p.storage, recurrent_scale_grad[s], gradients.recurrent_scale_grad, column, left);
      if (is_gru && gradients.bias_grad != nullptr) {
        StorePart(p.storage, sums[s], gradients.bias_grad, 3 * p.units + column, left);
      }
    }
  }
}

void CellScalesGrad(const RecurrentGradState& state, int64_t panel) {
  const RecurrentProblem& p = *state.problem;
  const int64_t total = state.sequences->total, first = panel * kLanes, left = p.units - first;
  Floats sum = {}, products = {};
  for (int64_t i = 0; i < total; ++i) {
    const int64_t at = (panel * total + i) * kLanes;
    const Moments moments = LoadMoments(state.moments + i * kMoments + 4);
    const Floats grad = Load(state.tanh_input_grads + at);
    sum += grad;
    products += grad * Normalised(Load(state.history + at), moments, left);
  }
  StorePart(p.storage, products, state.gradients->cell_scale_grad, first, left);
  StorePart(p.storage, sum, state.gradients->cell_offset_grad, first, left);
}

void ScalesGrad(const RecurrentGradState& state, int64_t panel) {
  if (IsGru(state.problem->cell)) {
    GateScalesGrad<true>(state, panel);
  } else {
    GateScalesGrad<false>(state, panel);
    CellScalesGrad(state, panel);
  }
}

}  // namespace

extern const RecurrentNormalised kRecurrentNormalised;
const RecurrentNormalised kRecurrentNormalised = {Pack, Step, Back, ScalesGrad, ProductsGrad};

}  // namespace IKELOS_ISA
}  // namespace ikelos
