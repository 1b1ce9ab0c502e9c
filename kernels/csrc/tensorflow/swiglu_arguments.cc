#include "tensorflow/swiglu_arguments.h"

#include "core/swiglu.h"

namespace ikelos {
namespace {

// The rows of the table, in the order of the ops' inputs.
enum SwigluInput { kGate, kUp, kOutputGrad };

constexpr Input kTable[] = {
    {"gate", "R F", Elements::kStored},
    {"up", "R F", Elements::kStored},
    {"output_grad", "R F", Elements::kStored},
};

}  // namespace

template <bool kIsGradient>
absl::Status SwigluOp<kIsGradient>::ReadArguments(const Attributes&, Storage storage,
                                                  const std::vector<InputArray>& inputs,
                                                  Arguments* arguments) {
  std::vector<int> rows = {kGate, kUp};
  if (kIsGradient) {
    rows.push_back(kOutputGrad);
  }
  return ReadInputs(kTable, rows, storage, inputs, arguments);
}

template <bool kIsGradient>
std::vector<Result> SwigluOp<kIsGradient>::Results(const Arguments& arguments) {
  return std::vector<Result>(kIsGradient ? 2 : 1, {arguments.ShapeOf("R F"), Elements::kStored});
}

template <bool kIsGradient>
void SwigluOp<kIsGradient>::Run(const Arguments& arguments, const std::vector<void*>& results,
                                float*, const ParallelFor& parallel_for) {
  const int64_t count = arguments.Size('R') * arguments.Size('F');
  const void *gate = arguments.data[kGate], *up = arguments.data[kUp];
  if constexpr (kIsGradient) {
    SwigluGrad(arguments.storage, gate, up, arguments.data[kOutputGrad], results[0], results[1],
               count, ChosenIsa(), parallel_for);
  } else {
    Swiglu(arguments.storage, gate, up, results[0], count, ChosenIsa(), parallel_for);
  }
}

template struct SwigluOp<false>;
template struct SwigluOp<true>;

}  // namespace ikelos
