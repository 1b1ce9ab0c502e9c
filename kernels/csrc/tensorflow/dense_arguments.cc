#include "tensorflow/dense_arguments.h"

#include <iterator>

#include "core/isa.h"

namespace ikelos {
namespace {

// The rows of the tables, in the order of the ops' inputs.
enum DenseInput { kX, kKernel0, kKernel1, kKernel2, kDenseInputs };

constexpr Input kTable[] = {
    {"x", "B T D", Elements::kStored},
    {"kernel_0", "D U", Elements::kStored},
    {"kernel_1", "D V", Elements::kStored},
    {"kernel_2", "D W", Elements::kStored},
};
static_assert(std::size(kTable) == kDenseInputs && kDenseInputs == kKernel0 + kMostDenseKernels);

constexpr Input kGatedTable[] = {
    {"x", "B T D", Elements::kStored},
    {"kernel_0", "D U", Elements::kStored},
    {"kernel_1", "D U", Elements::kStored},
};

}  // namespace

template <bool kIsGated>
absl::Status DenseOp<kIsGated>::CheckAttributes(const Attributes& attributes) {
  const absl::Status status =
      CheckCounts(absl::MakeSpan(kTable).subspan(kKernel1), attributes.counts);
  if (status.ok() && attributes.counts[1] > attributes.counts[0]) {
    return Invalid("`num_kernel_2` must be 0 without a second kernel. Received: num_kernel_2=1");
  }
  return status;
}

template <bool kIsGated>
absl::Status DenseOp<kIsGated>::ReadArguments(const Attributes& attributes, Storage storage,
                                              const std::vector<InputArray>& inputs,
                                              Arguments* arguments) {
  if (absl::Status status = CheckAttributes(attributes); !status.ok()) {
    return status;
  }
  std::vector<int> rows = {kX, kKernel0};
  for (int i = 0; i < 2; ++i) {
    if (attributes.counts[i] == 1) {
      rows.push_back(kKernel1 + i);
    }
  }
  arguments->attributes = attributes;
  const auto table = kIsGated ? absl::Span<const Input>(kGatedTable) : kTable;
  if (absl::Status status = ReadInputs(table, rows, storage, inputs, arguments); !status.ok()) {
    return status;
  }
  const int64_t batch = arguments->Size('B'), steps = arguments->Size('T');
  for (const char axis : {'D', 'U', 'V', 'W'}) {
    if (!ProductFits({batch, steps, arguments->Size(axis), kMaxFactor}) ||
        !ProductFits({arguments->Size('D'), arguments->Size(axis), kMaxFactor})) {
      return Invalid("`x` and the kernels must have sizes whose products fit 64 bits. Received: ",
                     arguments->Received(kX), ", ", arguments->Received(kKernel0));
    }
  }
  return absl::OkStatus();
}

template <bool kIsGated>
std::vector<Result> DenseOp<kIsGated>::Results(const Arguments& arguments) {
  std::vector<Result> results = {{arguments.ShapeOf("B T U"), Elements::kStored}};
  if (!kIsGated && arguments.attributes.counts[0] == 1) {
    results.push_back({arguments.ShapeOf("B T V"), Elements::kStored});
  }
  if (!kIsGated && arguments.attributes.counts[1] == 1) {
    results.push_back({arguments.ShapeOf("B T W"), Elements::kStored});
  }
  return results;
}

template <bool kIsGated>
void DenseOp<kIsGated>::Run(const Arguments& arguments, const std::vector<void*>& results, float*,
                            const ParallelFor& parallel_for) {
  DenseProblem problem{};
  problem.rows = arguments.Size('B') * arguments.Size('T');
  problem.depth = arguments.Size('D');
  problem.count = static_cast<int64_t>(arguments.rows.size()) - kKernel0;
  problem.gated = kIsGated;
  problem.storage = arguments.storage;
  problem.x = arguments.data[kX];
  for (int64_t i = 0; i < problem.count; ++i) {
    problem.kernels[i] = arguments.data[kKernel0 + i];
    problem.widths[i] = arguments.shapes[kKernel0 + i][1];
  }
  for (size_t i = 0; i < results.size(); ++i) {
    problem.outputs[i] = results[i];
  }
  Dense(problem, ChosenIsa(), parallel_for);
}

template struct DenseOp<false>;
template struct DenseOp<true>;

}  // namespace ikelos
