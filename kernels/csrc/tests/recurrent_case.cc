#include "tests/recurrent_case.h"

#include <algorithm>
#include <cmath>
#include <sstream>

#include "tests/options.h"

namespace ikelos {
namespace {

struct Result {
  const char* name;
  Array RecurrentCaseResults::* array;
  std::vector<Number> RecurrentNumbers::* numbers;
  bool is_gradient;
};

constexpr Result kResults[] = {
    {"outputs", &RecurrentCaseResults::outputs, &RecurrentNumbers::outputs, false},
    {"hidden", &RecurrentCaseResults::hidden, &RecurrentNumbers::hidden, false},
    {"cell", &RecurrentCaseResults::cell, &RecurrentNumbers::cell, false},
    {"plain_outputs", &RecurrentCaseResults::plain_outputs, &RecurrentNumbers::outputs, false},
    {"plain_hidden", &RecurrentCaseResults::plain_hidden, &RecurrentNumbers::hidden, false},
    {"plain_cell", &RecurrentCaseResults::plain_cell, &RecurrentNumbers::cell, false},
    {"inputs_grad", &RecurrentCaseResults::inputs_grad, &RecurrentNumbers::inputs_grad, true},
    {"kernel_grad", &RecurrentCaseResults::kernel_grad, &RecurrentNumbers::kernel_grad, true},
    {"recurrent_kernel_grad", &RecurrentCaseResults::recurrent_kernel_grad,
     &RecurrentNumbers::recurrent_kernel_grad, true},
    {"bias_grad", &RecurrentCaseResults::bias_grad, &RecurrentNumbers::bias_grad, true},
    {"initial_hidden_grad", &RecurrentCaseResults::initial_hidden_grad,
     &RecurrentNumbers::initial_hidden_grad, true},
    {"initial_cell_grad", &RecurrentCaseResults::initial_cell_grad,
     &RecurrentNumbers::initial_cell_grad, true},
    {"kernel_scale_grad", &RecurrentCaseResults::kernel_scale_grad,
     &RecurrentNumbers::kernel_scale_grad, true},
    {"recurrent_scale_grad", &RecurrentCaseResults::recurrent_scale_grad,
     &RecurrentNumbers::recurrent_scale_grad, true},
    {"cell_scale_grad", &RecurrentCaseResults::cell_scale_grad, &RecurrentNumbers::cell_scale_grad,
     true},
    {"cell_offset_grad", &RecurrentCaseResults::cell_offset_grad,
     &RecurrentNumbers::cell_offset_grad, true},
};

}  // namespace

bool RecurrentCaseResults::SameBits(const RecurrentCaseResults& other) const {
  return std::all_of(std::begin(kResults), std::end(kResults), [&](const Result& result) {
    return (this->*result.array).SameBits(other.*result.array);
  });
}

bool RecurrentCase::IsValid(int64_t b, int64_t position) const {
  return position < LengthOf(options.lengths, b, options.steps) &&
         (mask.empty() || mask[static_cast<size_t>(b * options.steps + position)] != 0);
}

RecurrentCase::RecurrentCase(const RecurrentOptions& options) : options(options), problem() {
  const RecurrentOptions& o = this->options;
  RandomNumbers numbers(o.numbers);
  const bool is_lstm = o.cell == RecurrentCell::kLstm;
  const int64_t gates = NumGates(o.cell) * o.units;
  const auto empty = [&](bool present, int64_t size) {
    return Array(o.storage, present ? size : 0, o.guard_bytes);
  };
  const auto random = [&](bool present, int64_t size, double magnitude, double around = 0) {
    Array array = empty(present, size);
    for (int64_t i = 0; i < array.size(); ++i) {
      array.Set(i, around + numbers.Uniform(magnitude));
    }
    return array;
  };
  const double D = static_cast<double>(o.features), U = static_cast<double>(o.units);

  if (o.mask) {
    mask.resize(static_cast<size_t>(o.batch * o.steps));
  }
  for (uint8_t& valid : mask) {
    valid = numbers.Chance(o.masked) ? 0 : numbers.Chance(0.5) ? 1 : 0xfe;
  }
  inputs = empty(true, o.batch * o.steps * o.features);
  outputs_grad = empty(true, o.batch * o.steps * o.units);
  for (int64_t b = 0; b < o.batch; ++b) {
    bool put_out = false;  // any output yet
    for (int64_t s = 0; s < o.steps; ++s) {
      const int64_t position = o.go_backwards ? o.steps - 1 - s : s;
      const bool valid = IsValid(b, position);
      put_out = put_out || valid;
      for (int64_t d = 0; valid && d < o.features; ++d) {
        inputs.Set((b * o.steps + position) * o.features + d, numbers.Uniform(o.magnitude));
      }
      const bool used = o.zero_output_for_mask ? valid : put_out;
      for (int64_t u = 0; used && u < o.units; ++u) {
        outputs_grad.Set((b * o.steps + s) * o.units + u, numbers.Uniform(1));
      }
    }
  }
  kernel = random(true, o.features * gates, 1 / std::sqrt(std::max(D, 1.0)));
  recurrent_kernel =
      random(true, o.units * gates, o.recurrent_magnitude * std::min(2 / U, 1 / std::sqrt(U)));
  bias = random(o.bias, (o.cell == RecurrentCell::kGruResetAfter ? 2 : 1) * gates, o.magnitude);
  initial_hidden = random(true, o.batch * o.units, 0.5);
  initial_cell = random(is_lstm, o.batch * o.units, 0.5);
  dropout_mask = empty(o.dropout_mask, o.batch * gates);
  for (int64_t i = 0; i < dropout_mask.size(); ++i) {
    dropout_mask.Set(i, numbers.Chance(0.3) ? 0 : 1 / 0.7);
  }
  kernel_scale = random(o.normalises, gates, 0.2, 1);
  recurrent_scale = random(o.normalises, gates, 0.1, 0.5 * o.recurrent_magnitude / std::sqrt(U));
  cell_scale = random(o.normalises && is_lstm, o.units, 0.1, 0.5);
  cell_offset = random(o.normalises && is_lstm, o.units, 0.5);
  hidden_grad = random(true, o.batch * o.units, 1);
  cell_grad = random(is_lstm, o.batch * o.units, 1);

  const auto data_or_null = [](const Array& array, bool present) {
    return present ? array.data() : nullptr;
  };
  RecurrentProblem& p = problem;
  p.batch = o.batch;
  p.steps = o.steps;
  p.features = o.features;
  p.units = o.units;
  p.cell = o.cell;
  p.storage = o.storage;
  p.go_backwards = o.go_backwards;
  p.zero_output_for_mask = o.zero_output_for_mask;
  p.reads_in_place = o.reads_in_place;
  p.inputs = inputs.data();
  p.kernel = kernel.data();
  p.recurrent_kernel = recurrent_kernel.data();
  p.bias = data_or_null(bias, o.bias);
  p.initial_hidden = initial_hidden.data();
  p.initial_cell = data_or_null(initial_cell, is_lstm);
  p.lengths = DataOrNull(o.lengths);
  p.mask = DataOrNull(mask);
  p.recurrent_dropout_mask = data_or_null(dropout_mask, o.dropout_mask);
  p.kernel_scale = data_or_null(kernel_scale, o.normalises);
  p.recurrent_scale = data_or_null(recurrent_scale, o.normalises);
  p.cell_scale = data_or_null(cell_scale, o.normalises && is_lstm);
  p.cell_offset = data_or_null(cell_offset, o.normalises && is_lstm);
  p.epsilon = o.normalises ? 1e-3f : 0;
}

RecurrentCaseResults RecurrentCase::Run(Isa isa, const ParallelFor& parallel_for) const {
  const RecurrentProblem& p = problem;
  RecurrentCaseResults r;
  const auto floats = [&](int64_t size) {
    return Array(Storage::kFloat32, size, options.guard_bytes);
  };
  const auto like = [&](const Array& array) {
    return Array(array.storage(), array.size(), options.guard_bytes);
  };
  r.packed = floats(RecurrentPacked(p));
  PackRecurrent(p, r.packed.floats(), isa, parallel_for);

  r.outputs = like(outputs_grad);
  r.hidden = like(hidden_grad);
  r.cell = like(cell_grad);
  r.saved = floats(RecurrentSaved(p));
  r.scratch = floats(RecurrentScratch(p, true));
  Recurrent(p, r.packed.floats(),
            {r.outputs.data(), r.hidden.data(), r.cell.data(), r.saved.floats()},
            r.scratch.floats(), isa, parallel_for);

  r.plain_outputs = like(outputs_grad);
  r.plain_hidden = like(hidden_grad);
  r.plain_cell = like(cell_grad);
  r.plain_scratch = floats(RecurrentScratch(p, false));
  Recurrent(p, r.packed.floats(),
            {r.plain_outputs.data(), r.plain_hidden.data(), r.plain_cell.data(), nullptr},
            r.plain_scratch.floats(), isa, parallel_for);

  r.inputs_grad = like(inputs);
  r.kernel_grad = like(kernel);
  r.recurrent_kernel_grad = like(recurrent_kernel);
  r.bias_grad = like(bias);
  r.initial_hidden_grad = like(initial_hidden);
  r.initial_cell_grad = like(initial_cell);
  r.kernel_scale_grad = like(kernel_scale);
  r.recurrent_scale_grad = like(recurrent_scale);
  r.cell_scale_grad = like(cell_scale);
  r.cell_offset_grad = like(cell_offset);
  r.grad_scratch = floats(RecurrentGradScratch(p));
  const auto data_or_null = [](const void* there, Array* array) {
    return there == nullptr ? nullptr : array->data();
  };
  RecurrentGradients g;
  g.outputs = r.outputs.data();
  g.saved = r.saved.floats();
  g.outputs_grad = outputs_grad.data();
  g.hidden_grad = hidden_grad.data();
  g.cell_grad = p.initial_cell == nullptr ? nullptr : cell_grad.data();
  g.inputs_grad = r.inputs_grad.data();
  g.kernel_grad = r.kernel_grad.data();
  g.recurrent_kernel_grad = r.recurrent_kernel_grad.data();
  g.bias_grad = data_or_null(p.bias, &r.bias_grad);
  g.initial_hidden_grad = r.initial_hidden_grad.data();
  g.initial_cell_grad = data_or_null(p.initial_cell, &r.initial_cell_grad);
  g.kernel_scale_grad = data_or_null(p.kernel_scale, &r.kernel_scale_grad);
  g.recurrent_scale_grad = data_or_null(p.recurrent_scale, &r.recurrent_scale_grad);
  g.cell_scale_grad = data_or_null(p.cell_scale, &r.cell_scale_grad);
  g.cell_offset_grad = data_or_null(p.cell_offset, &r.cell_offset_grad);
  RecurrentGrad(p, g, r.grad_scratch.floats(), isa, parallel_for);
  return r;
}

RecurrentNumbers RecurrentCase::Expected() const {
  return RecurrentOracle(problem, outputs_grad.data(), hidden_grad.data(), cell_grad.data());
}

std::string RecurrentCase::Compare(const RecurrentCaseResults& results,
                                   const RecurrentNumbers& expected, double* worst) const {
  Comparison comparison(worst);
  for (const Result& result : kResults) {
    comparison.Add(result.name, results.*result.array, expected.*result.numbers,
                   result.is_gradient);
  }
  comparison.AddMemory("packed", results.packed);
  comparison.AddMemory("saved", results.saved);
  comparison.AddMemory("scratch", results.scratch);
  comparison.AddMemory("plain_scratch", results.plain_scratch);
  comparison.AddMemory("grad_scratch", results.grad_scratch);
  return comparison.problems();
}

std::string Describe(const RecurrentOptions& o) {
  const char* const cells[] = {"lstm", "gru", "gru_reset_after"};
  std::ostringstream sizes;
  sizes << cells[static_cast<int>(o.cell)] << " " << StorageName(o.storage) << " B" << o.batch
        << " T" << o.steps << " D" << o.features << " U" << o.units;
  Description text(sizes.str());
  text.Add(o.go_backwards, "go_backwards", true);
  text.Add(o.zero_output_for_mask, "zero_output_for_mask", true);
  text.Add(!o.bias, "bias", "null");
  text.AddList("lengths", o.lengths);
  text.Add(o.mask, "masked", o.masked);
  text.Add(o.dropout_mask, "dropout_mask", true);
  text.Add(o.normalises, "normalises", true);
  text.Add(o.reads_in_place, "reads_in_place", true);
  text.Add(o.magnitude != 1, "magnitude", o.magnitude);
  text.Add(o.recurrent_magnitude != 1, "recurrent_magnitude", o.recurrent_magnitude);
  return text.text();
}

}  // namespace ikelos
