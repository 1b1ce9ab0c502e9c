#include "tests/recurrent_oracle.h"

#include <algorithm>
#include <cmath>

#include "tests/rounded.h"

namespace ikelos {
namespace {

using Numbers = std::vector<Rounded>;

// Slopes of sigmoid and tanh from their values.
Rounded SigmoidSlope(Rounded s) { return s * (Exactly(1) - s); }
Rounded TanhSlope(Rounded t) { return Exactly(1) - t * t; }

// z * h + (1 - z) * c, which kernels may compute as c + z * (h - c).
Rounded Mix(Rounded z, Rounded h, Rounded c) {
  Rounded mixed = z * h + (Exactly(1) - z) * c;
  mixed.variance += Square(kStep * (std::fabs(h.value) + std::fabs(c.value)));
  return mixed;
}

// --- the problem ---------------------------------------------------------------------------------

std::vector<double> LoadAll(Storage storage, const void* array, int64_t size) {
  std::vector<double> values;
  for (int64_t i = 0; array != nullptr && i < size; ++i) {
    values.push_back(LoadElement(storage, array, i));
  }
  return values;
}

// Values of a step that its gradient needs.
struct Step {
  int64_t position;        // in inputs
  Numbers hidden, cell;    // the states before it
  Numbers gates;           // [G * U], after sigmoid or tanh
  Numbers recurrent_part;  // [G * U], kGruResetAfter: h R, normalised if asked for, and its bias
  Normalised input_product, recurrent_product, new_cell;  // if normalised
  Numbers cell_tanh;
};

class Oracle {
 public:
  Oracle(const RecurrentProblem& problem, const void* outputs_grad, const void* hidden_grad,
         const void* cell_grad)
      : p(problem),
        T(p.steps),
        D(p.features),
        U(p.units),
        G(NumGates(p.cell)),
        normalises(p.kernel_scale != nullptr),
        inputs(Load(p.inputs, p.batch * T * D)),
        kernel(Load(p.kernel, D * G * U)),
        recurrent_kernel(Load(p.recurrent_kernel, U * G * U)),
        bias(Load(p.bias, BiasSize())),
        initial_hidden(Load(p.initial_hidden, p.batch * U)),
        initial_cell(Load(IsLstm() ? p.initial_cell : nullptr, p.batch * U)),
        dropout_mask(Load(p.recurrent_dropout_mask, p.batch * G * U)),
        kernel_scale(Load(p.kernel_scale, G * U)),
        recurrent_scale(Load(p.recurrent_scale, G * U)),
        cell_scale(Load(p.cell_scale, U)),
        cell_offset(Load(p.cell_offset, U)),
        outputs_grad(Load(outputs_grad, p.batch * T * U)),
        hidden_grad(Load(hidden_grad, p.batch * U)),
        cell_grad(Load(IsLstm() ? cell_grad : nullptr, p.batch * U)),
        kernel_sums(kernel.size()),
        recurrent_kernel_sums(recurrent_kernel.size()),
        bias_sums(bias.size()),
        kernel_scale_sums(kernel_scale.size()),
        recurrent_scale_sums(recurrent_scale.size()),
        cell_scale_sums(cell_scale.size()),
        cell_offset_sums(cell_offset.size()) {
    outputs.resize(p.batch * T * U);
    inputs_grad.resize(p.batch * T * D);
  }

  RecurrentNumbers Run() {
    for (int64_t b = 0; b < p.batch; ++b) {
      Row(b);
    }
    const auto bounded = [&](const auto& values) { return Bounded(values, p.storage); };
    RecurrentNumbers n;
    n.outputs = bounded(outputs);
    n.hidden = bounded(hidden_states);
    n.cell = bounded(cell_states);
    n.inputs_grad = bounded(inputs_grad);
    n.kernel_grad = bounded(kernel_sums);
    n.recurrent_kernel_grad = bounded(recurrent_kernel_sums);
    n.bias_grad = bounded(bias_sums);
    n.initial_hidden_grad = bounded(initial_hidden_grad);
    n.initial_cell_grad = bounded(initial_cell_grad);
    n.kernel_scale_grad = bounded(kernel_scale_sums);
    n.recurrent_scale_grad = bounded(recurrent_scale_sums);
    n.cell_scale_grad = bounded(cell_scale_sums);
    n.cell_offset_grad = bounded(cell_offset_sums);
    return n;
  }

 private:
  bool IsLstm() const { return p.cell == RecurrentCell::kLstm; }
  int64_t BiasSize() const { return (p.cell == RecurrentCell::kGruResetAfter ? 2 : 1) * G * U; }
  std::vector<double> Load(const void* array, int64_t size) const {
    return LoadAll(p.storage, array, size);
  }
  double Bias(int64_t at) const { return bias.empty() ? 0 : bias[at]; }
  // The dropout factor of the k-th hidden unit for a gate.
  Rounded Mask(int64_t b, int64_t gate, int64_t k) const {
    return Exactly(dropout_mask.empty() ? 1 : dropout_mask[(b * G + gate) * U + k]);
  }

  bool IsValid(int64_t b, int64_t position) const {
    return (p.lengths == nullptr || position < p.lengths[b]) &&
           (p.mask == nullptr || p.mask[b * T + position] != 0);
  }

  void AddInputProduct(int64_t b, int64_t position, int64_t gu, Total* sum) const {
    for (int64_t d = 0; d < D; ++d) {
      sum->Add(Term(Exactly(inputs[(b * T + position) * D + d]), kernel[d * G * U + gu]));
    }
  }

  // Adds the product of `states` with column `gu` of the recurrent kernel.
  void AddRecurrentProduct(const Numbers& states, int64_t gu, Total* sum) const {
    for (int64_t k = 0; k < U; ++k) {
      sum->Add(Term(states[k], recurrent_kernel[k * G * U + gu]));
    }
  }

  Numbers Masked(int64_t b, int64_t gate, const Numbers& states) const {
    Numbers masked;
    for (int64_t k = 0; k < U; ++k) {
      masked.push_back(dropout_mask.empty() ? states[k] : Mask(b, gate, k) * states[k]);
    }
    return masked;
  }

  // Hidden states as the gradient of the recurrent kernel finds them in
  // RecurrentGradients::outputs: rounded to the storage.
  Numbers AsPutOut(Numbers states) const {
    for (Rounded& state : states) {
      state.variance += Square(Rounding(p.storage, state.value)) / 3;
    }
    return states;
  }

  // r * h, masked: the states in the product of kGru's candidate.
  Numbers ResetStates(int64_t b, const Step& step, const Numbers& hidden) const {
    Numbers states = Masked(b, 2, hidden);
    for (int64_t k = 0; k < U; ++k) {
      states[k] = step.gates[U + k] * states[k];
    }
    return states;
  }

  // The gates of a step before sigmoid and tanh, without kGru's candidate, and with
  // kGruResetAfter's only in `recurrent_part`.
  Numbers GateSums(int64_t b, Step* step) const {
    Numbers input_part, recurrent_part, together;
    const int64_t recurrent_bias = p.cell == RecurrentCell::kGruResetAfter ? G * U : -1;
    for (int64_t g = 0; g < G; ++g) {
      const Numbers states = Masked(b, g, step->hidden);
      for (int64_t u = 0; u < U; ++u) {
        const int64_t gu = g * U + u;
        const double second_bias = recurrent_bias < 0 ? 0 : Bias(recurrent_bias + gu);
        Total input, recurrent, both;
        for (Total* sum : {&input, &both}) {
          AddInputProduct(b, step->position, gu, sum);
        }
        for (Total* sum : {&recurrent, &both}) {
          AddRecurrentProduct(states, gu, sum);
        }
        if (!normalises) {
          input.Add(Exactly(Bias(gu)));
          recurrent.Add(Exactly(second_bias));
          both.Add(Exactly(Bias(gu)));
          both.Add(Exactly(second_bias));
        }
        input_part.push_back(input.Result());
        recurrent_part.push_back(recurrent.Result());
        together.push_back(both.Result());
      }
    }
    if (normalises) {
      step->input_product = Normalise(input_part, p.epsilon);
      step->recurrent_product = Normalise(recurrent_part, p.epsilon);
      for (int64_t gu = 0; gu < G * U; ++gu) {
        const double second_bias = recurrent_bias < 0 ? 0 : Bias(recurrent_bias + gu);
        input_part[gu] = step->input_product.values[gu] * Exactly(kernel_scale[gu]);
        recurrent_part[gu] = step->recurrent_product.values[gu] * Exactly(recurrent_scale[gu]);
        Total all;
        all.Add(input_part[gu]);
        all.Add(recurrent_part[gu]);
        all.Add(Exactly(Bias(gu)));
        all.Add(Exactly(second_bias));
        together[gu] = all.Result();
        input_part[gu] = input_part[gu] + Exactly(Bias(gu));
        recurrent_part[gu] = recurrent_part[gu] + Exactly(second_bias);
      }
    }
    if (p.cell == RecurrentCell::kGruResetAfter) {
      std::copy(input_part.begin() + 2 * U, input_part.end(), together.begin() + 2 * U);
    }
    step->recurrent_part = recurrent_part;
    return together;
  }

  // Computes a step from its position and the states before it; these become the states after the
  // step.
  void Forward(int64_t b, Step* step, Numbers* hidden, Numbers* cell) const {
    step->hidden = *hidden;
    step->cell = *cell;
    Numbers sums = GateSums(b, step);
    Numbers& gates = step->gates;
    gates.resize(G * U);
    const int64_t candidate = 2;  // of all cell types
    for (int64_t gu = 0; gu < G * U; ++gu) {
      if (gu / U != candidate) {
        gates[gu] = Sigmoid(sums[gu]);
      }
    }
    Numbers reset_states;
    if (p.cell == RecurrentCell::kGru) {
      reset_states = ResetStates(b, *step, step->hidden);
    }
    for (int64_t u = 0; u < U; ++u) {
      const int64_t gu = candidate * U + u;
      Rounded sum = sums[gu];
      if (p.cell == RecurrentCell::kGruResetAfter) {
        sum = sum + gates[U + u] * step->recurrent_part[gu];
      } else if (p.cell == RecurrentCell::kGru) {
        Total all;
        AddInputProduct(b, step->position, gu, &all);
        AddRecurrentProduct(reset_states, gu, &all);
        all.Add(Exactly(Bias(gu)));
        sum = all.Result();
      }
      gates[gu] = Tanh(sum);
    }
    if (!IsLstm()) {
      for (int64_t u = 0; u < U; ++u) {
        (*hidden)[u] = Mix(gates[u], step->hidden[u], gates[2 * U + u]);
      }
      return;
    }
    for (int64_t u = 0; u < U; ++u) {
      (*cell)[u] = gates[U + u] * step->cell[u] + gates[u] * gates[2 * U + u];
    }
    Numbers seen = *cell;  // the cell state that the output uses
    if (normalises) {
      step->new_cell = Normalise(*cell, p.epsilon);
      for (int64_t u = 0; u < U; ++u) {
        seen[u] = step->new_cell.values[u] * Exactly(cell_scale[u]) + Exactly(cell_offset[u]);
      }
    }
    for (int64_t u = 0; u < U; ++u) {
      step->cell_tanh.push_back(Tanh(seen[u]));
      (*hidden)[u] = gates[3 * U + u] * step->cell_tanh[u];
    }
  }

  // Computes the gradients of the states before a step from those of the states after it.
  void Backward(int64_t b, const Step& step, Numbers* dhidden, Numbers* dcell) {
    const Numbers& gates = step.gates;
    // Gradients of the two parts of the arguments of sigmoid and tanh.
    Numbers dinput(G * U), drecurrent(G * U);
    Numbers dprevious(U);
    std::vector<Total> from_gates(U);

    if (IsLstm()) {
      Numbers dseen;
      for (int64_t u = 0; u < U; ++u) {
        dseen.push_back((*dhidden)[u] * gates[3 * U + u] * TanhSlope(step.cell_tanh[u]));
      }
      if (normalises) {
        for (int64_t u = 0; u < U; ++u) {
          cell_scale_sums[u].Add(dseen[u] * step.new_cell.values[u]);
          cell_offset_sums[u].Add(dseen[u]);
          dseen[u] = dseen[u] * Exactly(cell_scale[u]);
        }
        dseen = NormaliseGrad(dseen, step.new_cell);
      }
      for (int64_t u = 0; u < U; ++u) {
        const Rounded i = gates[u], f = gates[U + u], c = gates[2 * U + u], o = gates[3 * U + u];
        const Rounded dc = (*dcell)[u] + dseen[u];
        dinput[u] = dc * c * SigmoidSlope(i);
        dinput[U + u] = dc * step.cell[u] * SigmoidSlope(f);
        dinput[2 * U + u] = dc * i * TanhSlope(c);
        dinput[3 * U + u] = (*dhidden)[u] * step.cell_tanh[u] * SigmoidSlope(o);
        (*dcell)[u] = dc * f;
      }
      drecurrent = dinput;
    } else {
      for (int64_t u = 0; u < U; ++u) {
        const Rounded z = gates[u], r = gates[U + u], c = gates[2 * U + u], dh = (*dhidden)[u];
        dprevious[u] = dh * z;
        dinput[u] = dh * (step.hidden[u] - c) * SigmoidSlope(z);
        dinput[2 * U + u] = dh * (Exactly(1) - z) * TanhSlope(c);
        if (p.cell == RecurrentCell::kGruResetAfter) {
          const Rounded dcandidate = dinput[2 * U + u];
          dinput[U + u] = dcandidate * step.recurrent_part[2 * U + u] * SigmoidSlope(r);
          drecurrent[2 * U + u] = dcandidate * r;
        }
      }
      if (p.cell == RecurrentCell::kGru) {
        const Numbers states = ResetStates(b, step, AsPutOut(step.hidden));
        for (int64_t k = 0; k < U; ++k) {
          const Rounded mask = Mask(b, 2, k), r = gates[U + k];
          Total dstate;
          for (int64_t u = 0; u < U; ++u) {
            const int64_t gu = 2 * U + u;
            dstate.Add(Term(dinput[gu], recurrent_kernel[k * G * U + gu]));
            recurrent_kernel_sums[k * G * U + gu].Add(states[k] * dinput[gu]);
          }
          const Rounded dmasked = dstate.Result() * mask;
          dinput[U + k] = dmasked * step.hidden[k] * SigmoidSlope(r);
          from_gates[k].Add(dmasked * r);
        }
      }
      std::copy(dinput.begin(), dinput.begin() + 2 * U, drecurrent.begin());
    }

    for (size_t gu = 0; gu < bias_sums.size(); ++gu) {
      const size_t size = dinput.size();
      bias_sums[gu].Add(gu < size ? dinput[gu] : drecurrent[gu - size]);
    }
    if (normalises) {
      for (int64_t gu = 0; gu < G * U; ++gu) {
        kernel_scale_sums[gu].Add(dinput[gu] * step.input_product.values[gu]);
        recurrent_scale_sums[gu].Add(drecurrent[gu] * step.recurrent_product.values[gu]);
        dinput[gu] = dinput[gu] * Exactly(kernel_scale[gu]);
        drecurrent[gu] = drecurrent[gu] * Exactly(recurrent_scale[gu]);
      }
      dinput = NormaliseGrad(dinput, step.input_product);
      drecurrent = NormaliseGrad(drecurrent, step.recurrent_product);
    }

    const int64_t row = b * T + step.position;
    for (int64_t d = 0; d < D; ++d) {
      Total sum;
      for (int64_t gu = 0; gu < G * U; ++gu) {
        sum.Add(Term(dinput[gu], kernel[d * G * U + gu]));
        kernel_sums[d * G * U + gu].Add(Term(dinput[gu], inputs[row * D + d]));
      }
      inputs_grad[row * D + d] = sum.Result();
    }
    // kGru's candidate is already done.
    const int64_t products = p.cell == RecurrentCell::kGru ? 2 : G;
    for (int64_t g = 0; g < products; ++g) {
      const Numbers states = Masked(b, g, AsPutOut(step.hidden));
      for (int64_t k = 0; k < U; ++k) {
        for (int64_t u = 0; u < U; ++u) {
          const int64_t gu = g * U + u, at = k * G * U + gu;
          const Rounded product = Term(drecurrent[gu], recurrent_kernel[at]);
          from_gates[k].Add(dropout_mask.empty() ? product : product * Mask(b, g, k));
          recurrent_kernel_sums[at].Add(states[k] * drecurrent[gu]);
        }
      }
    }
    for (int64_t k = 0; k < U; ++k) {
      from_gates[k].Add(dprevious[k]);
      (*dhidden)[k] = from_gates[k].Result();
    }
  }

  void Row(int64_t b) {
    Numbers hidden, cell;
    for (int64_t u = 0; u < U; ++u) {
      hidden.push_back(Exactly(initial_hidden[b * U + u]));
      if (IsLstm()) {
        cell.push_back(Exactly(initial_cell[b * U + u]));
      }
    }
    std::vector<Step> steps;
    std::vector<bool> is_valid;  // in the order of the work
    Numbers output(U);
    for (int64_t s = 0; s < T; ++s) {
      const int64_t position = p.go_backwards ? T - 1 - s : s;
      is_valid.push_back(IsValid(b, position));
      if (is_valid.back()) {
        steps.emplace_back();
        steps.back().position = position;
        Forward(b, &steps.back(), &hidden, &cell);
        output = hidden;
      } else if (p.zero_output_for_mask) {
        output = Numbers(U);
      }
      std::copy(output.begin(), output.end(), outputs.begin() + (b * T + s) * U);
    }
    hidden_states.insert(hidden_states.end(), hidden.begin(), hidden.end());
    cell_states.insert(cell_states.end(), cell.begin(), cell.end());

    Numbers dhidden, dcell;
    for (int64_t u = 0; u < U; ++u) {
      dhidden.push_back(Exactly(hidden_grad[b * U + u]));
      if (IsLstm()) {
        dcell.push_back(Exactly(cell_grad[b * U + u]));
      }
    }
    // Gradients of the output of a step and of the steps that repeat it.
    std::vector<Total> from_outputs(U);
    for (int64_t s = T - 1; s >= 0; --s) {
      if (!is_valid[s] && p.zero_output_for_mask) {
        continue;
      }
      for (int64_t u = 0; u < U; ++u) {
        from_outputs[u].Add(Exactly(outputs_grad[(b * T + s) * U + u]));
      }
      if (!is_valid[s]) {
        continue;
      }
      for (int64_t u = 0; u < U; ++u) {
        from_outputs[u].Add(dhidden[u]);
        dhidden[u] = from_outputs[u].Result();
        from_outputs[u] = Total();
      }
      Backward(b, steps.back(), &dhidden, &dcell);
      steps.pop_back();
    }
    initial_hidden_grad.insert(initial_hidden_grad.end(), dhidden.begin(), dhidden.end());
    initial_cell_grad.insert(initial_cell_grad.end(), dcell.begin(), dcell.end());
  }

  const RecurrentProblem& p;
  const int64_t T, D, U, G;
  const bool normalises;
  const std::vector<double> inputs, kernel, recurrent_kernel, bias, initial_hidden, initial_cell,
      dropout_mask, kernel_scale, recurrent_scale, cell_scale, cell_offset, outputs_grad,
      hidden_grad, cell_grad;
  std::vector<Total> kernel_sums, recurrent_kernel_sums, bias_sums, kernel_scale_sums,
      recurrent_scale_sums, cell_scale_sums, cell_offset_sums;
  Numbers outputs, hidden_states, cell_states, inputs_grad, initial_hidden_grad, initial_cell_grad;
};

}  // namespace

RecurrentNumbers RecurrentOracle(const RecurrentProblem& problem, const void* outputs_grad,
                                 const void* hidden_grad, const void* cell_grad) {
  return Oracle(problem, outputs_grad, hidden_grad, cell_grad).Run();
}

}  // namespace ikelos
