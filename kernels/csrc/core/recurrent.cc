// Splits recurrent layers into tasks. The result of a task depends on no other task of its kind, so
// the number of tasks may depend on the number of threads.
#include "core/recurrent.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "core/recurrent_parts.h"
#include "core/sequences.h"
#include "core/team.h"
#include "core/thread_scratch.h"

namespace ikelos {
namespace {

// Floats in the widest vector, with which every array is at its largest.
constexpr int64_t kMostLanes = 16;

// In the forward pass, inputs are multiplied for a block of steps at once: the fewest steps that
// have at least this many rows. So many rows amortise the reading of the kernel, and they are few
// enough that the products are still in a near cache when their steps are computed.
constexpr int64_t kBlockRows = 96;
// Rows whose input gradients are computed in one task.
constexpr int64_t kInputsGradRows = 96;
// Rows and panels of weights whose gradients are summed in one task: the sums take 400 KB with
// AVX-512.
constexpr int64_t kGradRows = 192;
constexpr int64_t kGradPanels = 8;
// Most rows (batch times steps) for which packing the weights takes longer than it saves. Up to
// here, reading them in place took 0.15 to 0.85 of the time (units of 64 to 1024, LSTM and GRU,
// AVX-512 and AVX2, two threads of a Xeon with AMX); with 200 units, whose rows begin at odd
// addresses, up to 1.3. Eight rows took up to 1.5, 32 up to 4.
constexpr int64_t kMostRowsInPlace = 4;
// Smallest work with which one more thread per step pays: about a microsecond.
constexpr int64_t kLaneFlops = 100000;

// Hands out parts of memory, each aligned to a cache line. Without a start address it only counts.
// (pack.h has a similar class for per-ISA sources.)
class Memory {
 public:
  explicit Memory(float* start) : start_(start) {}

  float* Take(int64_t count) {
    const int64_t at = used_;
    used_ += CeilDiv(count, 16) * 16;
    return start_ == nullptr ? nullptr : start_ + at;
  }
  int64_t used() const { return used_; }

 private:
  float* start_;
  int64_t used_ = 0;
};

// Positions at which the parts of the saved array begin, after the gates, and at which it ends.
// `total` is the number of steps for which the arrays have room.
struct SavedParts {
  int64_t history, products, recurrent_products, moments, end;

  SavedParts(const RecurrentProblem& p, const RecurrentSizes& sizes, int64_t total) {
    const int64_t gates = sizes.wide * total * kSlots, normalises = Normalises(p) ? 1 : 0;
    history = gates;
    products = history + sizes.wide * total;
    recurrent_products = products + normalises * gates;
    moments = recurrent_products + normalises * gates;
    end = moments + normalises * total * kMoments;
  }
};

void LayOut(const RecurrentProblem& p, const RecurrentSizes& sizes, int64_t total, float* saved,
            Memory& scratch, RecurrentState* state) {
  const int64_t rows = p.batch * sizes.wide;
  // A block ends with the step that brings it to kBlockRows rows or more. Without that step it has
  // at most kBlockRows - 1 rows, and a step has at most p.batch.
  const int64_t block_rows = std::min(total, kBlockRows - 1 + p.batch);
  state->inputs = scratch.Take(block_rows * CeilDiv(p.features, sizes.lanes) * sizes.lanes);
  if (saved == nullptr) {
    state->gate_rows = block_rows;
    state->gates = state->products = scratch.Take(sizes.wide * block_rows * kSlots);
    state->history = nullptr;
  } else {
    state->gate_rows = total;
    state->gates = state->products = saved;
    state->history = saved + SavedParts(p, sizes, total).history;
  }
  state->in_place = p.reads_in_place ? scratch.Take(kSlots * block_rows * sizes.wide) : nullptr;
  state->cells = IsGru(p.cell) ? nullptr : scratch.Take(rows);
  state->reset = p.cell == RecurrentCell::kGru ? scratch.Take(rows) : nullptr;
  for (int i = 0; i < 2; ++i) {
    state->hidden[i] = scratch.Take(rows);
    state->masked[i] = p.recurrent_dropout_mask == nullptr ? nullptr : scratch.Take(kSlots * rows);
  }
  if (!Normalises(p)) {
    return;
  }
  state->scales = scratch.Take(kScales * sizes.wide);
  if (saved == nullptr) {
    state->recurrent_products = scratch.Take(kSlots * rows);
    state->moments = scratch.Take(kMoments * p.batch);
  } else {
    const SavedParts parts(p, sizes, total);
    state->products = saved + parts.products;
    state->recurrent_products = saved + parts.recurrent_products;
    state->moments = saved + parts.moments;
  }
}

void LayOut(const RecurrentProblem& p, const RecurrentSizes& sizes, int64_t total, Memory& scratch,
            RecurrentGradState* state) {
  const int64_t columns = kSlots * sizes.lanes, rows = p.batch * sizes.wide;
  const int64_t kernel_depth = sizes.wide * InputSlots(p.cell).count;
  const int64_t recurrent_depth = sizes.wide * RecurrentSlots(p.cell).count;
  state->kernel = scratch.Take(sizes.feature_groups * kernel_depth * columns);
  state->recurrent = scratch.Take(sizes.unit_groups * recurrent_depth * columns);
  state->candidate = p.cell == RecurrentCell::kGru
                         ? scratch.Take(sizes.unit_groups * sizes.wide * columns)
                         : nullptr;
  state->grads = state->recurrent_grads = scratch.Take(sizes.wide * total * kSlots);
  state->initial = scratch.Take(rows);
  state->carry = scratch.Take(rows);
  if (Normalises(p)) {
    state->recurrent_grads = scratch.Take(sizes.wide * total * kSlots);
    state->scales = scratch.Take(kScales * sizes.wide);
    state->hidden_grads = scratch.Take(rows);
    state->tanh_input_grads = IsGru(p.cell) ? nullptr : scratch.Take(sizes.wide * total);
  }
}

// Division of the work of a step: into runs of panels and, if there are threads left, of rows.
struct Lanes {
  int64_t panels, rows;

  // `depth`: the number of terms in a sum of a step's products.
  Lanes(const RecurrentProblem& p, int64_t depth, int64_t panels_to_share, int64_t threads) {
    const int64_t flops = 2 * p.batch * p.units * depth * NumGates(p.cell);
    const int64_t useful = std::max<int64_t>(1, std::min(threads, flops / kLaneFlops));
    panels = std::min(useful, panels_to_share);
    rows = useful / panels;
  }
  int64_t count() const { return panels * rows; }

  // The same number of lanes, each with all panels of some rows.
  Lanes OfRows() const {
    Lanes lanes = *this;
    lanes.panels = 1;
    lanes.rows = count();
    return lanes;
  }

  // Calls f(first panel, last panel, first row, last row) for a lane's share.
  template <typename F>
  void Share(int64_t lane, int64_t all_panels, int64_t all_rows, const F& f) const {
    const int64_t i = lane % panels, j = lane / panels;
    f(all_panels * i / panels, all_panels * (i + 1) / panels, all_rows * j / rows,
      all_rows * (j + 1) / rows);
  }
};

int64_t Phases(const RecurrentProblem& p) {
  return p.cell == RecurrentCell::kGru || Normalises(p) ? 2 : 1;
}

// Work that all lanes share: a phase of a step, or one of the phases before the first step of a
// block.
struct Work {
  static constexpr int64_t kGather = -2, kProject = -1;

  int64_t step, phase, rows;
};

// All work, in order.
struct Plan {
  std::vector<Work> works;
  std::vector<int64_t> block;  // as in RecurrentState

  Plan(const Sequences& sequences, int64_t phases) {
    for (int64_t step = 0; step < sequences.steps;) {
      const int64_t first = sequences.first[step];
      int64_t end = step;
      while (end < sequences.steps && sequences.first[end] - first < kBlockRows) {
        ++end;
      }
      works.push_back({step, Work::kGather, sequences.first[end] - first});
      works.push_back({step, Work::kProject, sequences.first[end] - first});
      for (; step < end; ++step) {
        block.push_back(first);
        for (int64_t phase = 0; phase < phases; ++phase) {
          works.push_back({step, phase, sequences.Active(step)});
        }
      }
    }
  }
};

// The parts of the recurrent kernel's gradient: runs of slots that multiply the same factor.
std::vector<Slots> RecurrentRuns(const RecurrentProblem& p) {
  const Slots all = RecurrentSlots(p.cell);
  std::vector<Slots> runs;
  if (p.recurrent_dropout_mask == nullptr) {
    runs.push_back(all);
  } else {
    for (int64_t s = all.first; s < all.first + all.count; ++s) {
      runs.push_back({s, 1});
    }
  }
  if (p.cell == RecurrentCell::kGru) {
    runs.push_back({0, 1});
  }
  return runs;
}

void PackScales(const RecurrentProblem& p, const RecurrentNormalised& parts,
                const RecurrentSizes& sizes, float* scales) {
  for (int64_t panel = 0; panel < sizes.panels; ++panel) {
    parts.pack(p, panel, scales + panel * kScales * sizes.lanes);
  }
}

void NormalisationGradients(const RecurrentGradState& state, const RecurrentNormalised& parts,
                            const RecurrentSizes& sizes, const ParallelFor& parallel_for) {
  parallel_for(sizes.panels, [&](int64_t panel) { parts.scales_grad(state, panel); });
  const int64_t total = state.sequences->total;
  parallel_for(CeilDiv(total, kInputsGradRows), [&](int64_t i) {
    const int64_t first = i * kInputsGradRows;
    parts.products_grad(state, first, std::min(kInputsGradRows, total - first));
  });
}

void WeightGradients(const RecurrentGradState& state, const RecurrentBackward& parts,
                     const RecurrentSizes& sizes, const ParallelFor& parallel_for) {
  const RecurrentProblem& p = *state.problem;
  using Grad = decltype(parts.kernel_grad);
  struct Task {
    Grad grad;
    Slots slots;
    int64_t first, count, begin, end;
  };
  std::vector<Task> tasks;
  const auto add = [&](Grad grad, const Slots& slots, int64_t rows) {
    const int64_t blocks = CeilDiv(rows, kGradRows);
    for (int64_t begin = 0; begin < sizes.panels; begin += kGradPanels) {
      for (int64_t i = 0; i < blocks; ++i) {
        const int64_t first = rows * i / blocks;
        tasks.push_back({grad, slots, first, rows * (i + 1) / blocks - first, begin,
                         std::min(sizes.panels, begin + kGradPanels)});
      }
    }
  };
  // The bias gradient of normalised gates is computed together with that of their scales.
  const int64_t bias = state.gradients->bias_grad == nullptr || Normalises(p) ? 0 : 1;
  add(parts.kernel_grad, InputSlots(p.cell), p.features + bias);
  for (const Slots& slots : RecurrentRuns(p)) {
    add(parts.recurrent_grad, slots,
        p.units + (p.cell == RecurrentCell::kGruResetAfter ? bias : 0));
  }
  const auto count = static_cast<int64_t>(tasks.size());
  const int64_t total = state.sequences->total;
  // Short tasks last.
  parallel_for(count + CeilDiv(total, kInputsGradRows), [&](int64_t i) {
    if (i < count) {
      const Task& task = tasks[static_cast<size_t>(i)];
      task.grad(state, task.slots, task.first, task.count, task.begin, task.end,
                ThreadScratch(parts.weights_scratch(p, task.count, task.end - task.begin)));
    } else {
      const int64_t first = (i - count) * kInputsGradRows;
      parts.inputs_grad(state, first, std::min(kInputsGradRows, total - first));
    }
  });
}

}  // namespace

int64_t RecurrentPacked(const RecurrentProblem& p) {
  const RecurrentSizes sizes(p, kMostLanes);
  return sizes.panels * sizes.PackedPanel(p);
}

void PackRecurrent(const RecurrentProblem& p, float* packed, Isa isa,
                   const ParallelFor& parallel_for) {
  const RecurrentForward& parts = IKELOS_PICK(isa, kRecurrentForward);
  parallel_for(RecurrentSizes(p, parts.lanes).panels,
               [&](int64_t panel) { parts.pack(p, panel, packed); });
}

bool PackingCostsMore(const RecurrentProblem& p) { return p.batch * p.steps <= kMostRowsInPlace; }

int64_t RecurrentSaved(const RecurrentProblem& p) {
  return SavedParts(p, RecurrentSizes(p, kMostLanes), p.batch * p.steps).end;
}

int64_t RecurrentScratch(const RecurrentProblem& p, bool saves) {
  Memory scratch(nullptr);
  RecurrentState state{};
  float none;
  LayOut(p, RecurrentSizes(p, kMostLanes), p.batch * p.steps, saves ? &none : nullptr, scratch,
         &state);
  return scratch.used();
}

int64_t RecurrentGradScratch(const RecurrentProblem& p) {
  Memory scratch(nullptr);
  RecurrentGradState state{};
  LayOut(p, RecurrentSizes(p, kMostLanes), p.batch * p.steps, scratch, &state);
  return scratch.used();
}

void Recurrent(const RecurrentProblem& p, const float* packed, const RecurrentResults& results,
               float* scratch, Isa isa, const ParallelFor& parallel_for) {
  const RecurrentForward& parts = IKELOS_PICK(isa, kRecurrentForward);
  const RecurrentSizes sizes(p, parts.lanes);
  const OwnedSequences owned(p);
  const Sequences& sequences = owned.view;
  RecurrentState state{};
  state.problem = &p;
  state.sequences = &sequences;
  const Plan plan(sequences, Phases(p));
  state.block = plan.block.data();
  state.packed = packed;
  Memory memory(scratch);
  LayOut(p, sizes, sequences.total, results.saved, memory, &state);

  // Zero bits are the number 0 in every storage.
  const int64_t row_bytes = p.units * ElementBytes(p.storage);
  for (const int64_t row : owned.empty_outputs) {
    std::memset(static_cast<char*>(results.outputs) + row * row_bytes, 0,
                static_cast<size_t>(row_bytes));
  }
  for (int64_t row = 0; row < p.batch; ++row) {
    if (sequences.length[row] > 0) {
      parts.start(state, row);
      continue;
    }
    const int64_t at = sequences.row[row] * row_bytes;
    const auto copy = [&](const void* from, void* to) {
      std::memcpy(static_cast<char*>(to) + at, static_cast<const char*>(from) + at,
                  static_cast<size_t>(row_bytes));
    };
    copy(p.initial_hidden, results.hidden);
    if (p.cell == RecurrentCell::kLstm) {
      copy(p.initial_cell, results.cell);
    }
  }
  if (sequences.total == 0) {
    return;
  }

  const RecurrentNormalised& normalised = IKELOS_PICK(isa, kRecurrentNormalised);
  if (Normalises(p)) {
    PackScales(p, normalised, sizes, state.scales);
  }
  const Lanes lanes(p, p.features + p.units, sizes.panels, parallel_for.num_threads);
  const Lanes of_rows = lanes.OfRows();
  const auto step_part = Normalises(p) ? normalised.step : parts.step;
  RunSteps(
      static_cast<int64_t>(plan.works.size()), lanes.count(),
      [&](int64_t i, int64_t lane) {
        const Work& work = plan.works[static_cast<size_t>(i)];
        const bool by_rows = work.phase == Work::kGather || (Normalises(p) && work.phase == 1);
        (by_rows ? of_rows : lanes)
            .Share(lane, sizes.panels, work.rows,
                   [&](int64_t begin, int64_t end, int64_t first, int64_t last) {
                     if (work.phase == Work::kGather) {
                       parts.gather(state, work.step, first, last);
                     } else if (work.phase == Work::kProject) {
                       parts.project(state, work.step, begin, end, first, last);
                     } else {
                       step_part(state, results, work.step, work.phase, begin, end, first, last);
                     }
                   });
      },
      parallel_for);
}

void RecurrentGrad(const RecurrentProblem& p, const RecurrentGradients& gradients, float* scratch,
                   Isa isa, const ParallelFor& parallel_for) {
  const RecurrentBackward& parts = IKELOS_PICK(isa, kRecurrentBackward);
  const RecurrentSizes sizes(p, parts.lanes);
  const OwnedSequences owned(p);
  const Sequences& sequences = owned.view;
  RecurrentGradState state{};
  state.problem = &p;
  state.gradients = &gradients;
  state.sequences = &sequences;
  state.gates = gradients.saved;
  const SavedParts saved(p, sizes, sequences.total);
  state.history = gradients.saved + saved.history;
  state.products = gradients.saved + saved.products;
  state.recurrent_products = gradients.saved + saved.recurrent_products;
  state.moments = gradients.saved + saved.moments;
  Memory memory(scratch);
  LayOut(p, sizes, sequences.total, memory, &state);

  const bool is_plain_gru = p.cell == RecurrentCell::kGru;
  const int64_t groups = sizes.feature_groups + sizes.unit_groups * (is_plain_gru ? 2 : 1);
  parallel_for(groups, [&](int64_t i) {
    if (i < sizes.feature_groups) {
      parts.transpose(p, p.kernel, p.features, i, InputSlots(p.cell), state.kernel);
    } else if (i < sizes.feature_groups + sizes.unit_groups) {
      parts.transpose(p, p.recurrent_kernel, p.units, i - sizes.feature_groups,
                      RecurrentSlots(p.cell), state.recurrent);
    } else {
      parts.transpose(p, p.recurrent_kernel, p.units, i - sizes.feature_groups - sizes.unit_groups,
                      {0, 1}, state.candidate);
    }
  });
  for (int64_t row = 0; row < p.batch; ++row) {
    parts.start(state, row);
  }

  const RecurrentNormalised& normalised = IKELOS_PICK(isa, kRecurrentNormalised);
  if (Normalises(p)) {
    PackScales(p, normalised, sizes, state.scales);
  }
  const Lanes lanes(p, p.units, sizes.unit_groups, parallel_for.num_threads);
  const Lanes of_rows = lanes.OfRows();
  const int64_t phases = Phases(p), last_step = sequences.steps - 1;
  // One step more than there are, for the initial states, without its last phases.
  RunSteps((sequences.steps + 1) * phases - (phases - 1), lanes.count(),
           [&](int64_t i, int64_t lane) {
             const int64_t step = last_step - i / phases, phase = i % phases;
             const int64_t rows = step < 0 ? p.batch : sequences.Active(step);
             if (Normalises(p) && phase == 1) {
               of_rows.Share(lane, 1, rows, [&](int64_t, int64_t, int64_t first, int64_t last) {
                 normalised.back(state, step, first, last);
               });
               return;
             }
             lanes.Share(lane, sizes.unit_groups, rows,
                         [&](int64_t begin, int64_t end, int64_t first, int64_t last) {
                           parts.step(state, step, phase, begin, end, first, last);
                         });
           },
           parallel_for);

  if (sequences.total < p.batch * p.steps) {
    std::memset(gradients.inputs_grad, 0,
                static_cast<size_t>(p.batch * p.steps * p.features * ElementBytes(p.storage)));
  }
  if (Normalises(p)) {
    NormalisationGradients(state, normalised, sizes, parallel_for);
  }
  WeightGradients(state, parts, sizes, parallel_for);
}

}  // namespace ikelos
