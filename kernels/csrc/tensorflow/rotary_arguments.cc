#include "tensorflow/rotary_arguments.h"

#include <cmath>
#include <cstddef>
#include <iterator>

#include "core/isa.h"
#include "core/rotary.h"

namespace ikelos {
namespace {

// The rows of the table, in the order of the op's inputs.
enum RotaryInput { kQuery, kKey, kPositions, kFrequencies, kRotaryInputs };

constexpr Input kPositionsOfAll = {"positions", "T", Elements::kInt32};
constexpr Input kPositionsByRow = {"positions", "b T", Elements::kInt32};

constexpr Input kTable[] = {
    {"query", "B T N 2F", Elements::kStored},
    {"key", "B T K 2F", Elements::kStored},
    kPositionsByRow,
    {"frequencies", "F", Elements::kFloat32},
};
constexpr Input kTableOfAll[] = {kTable[kQuery], kTable[kKey], kPositionsOfAll,
                                 kTable[kFrequencies]};
static_assert(std::size(kTable) == kRotaryInputs && std::size(kTableOfAll) == kRotaryInputs);

}  // namespace

absl::Status RotaryOp::CheckAttributes(const Attributes& attributes) {
  if (!std::isfinite(attributes.magnitude)) {
    return Invalid("`magnitude` must be finite. Received: magnitude=", attributes.magnitude);
  }
  return CheckNoneOrOne("key", attributes.num_key);
}

absl::Status RotaryOp::ReadArguments(const Attributes& attributes, Storage storage,
                                     const std::vector<InputArray>& inputs, Arguments* arguments) {
  if (absl::Status status = CheckAttributes(attributes); !status.ok()) {
    return status;
  }
  std::vector<int> rows = {kQuery};
  if (attributes.num_key == 1) {
    rows.push_back(kKey);
  }
  const size_t positions = rows.size();
  rows.insert(rows.end(), {kPositions, kFrequencies});
  arguments->attributes = attributes;
  const bool of_all =
      positions < inputs.size() && inputs[positions].shape && inputs[positions].shape->size() == 1;
  return ReadInputs(of_all ? kTableOfAll : kTable, rows, storage, inputs, arguments);
}

std::vector<Result> RotaryOp::Results(const Arguments& arguments) {
  std::vector<Result> results = {
      {arguments.ShapeOf("B T N 2F"), Elements::kStored, /*updates=*/-1, /*reuses=*/kQuery}};
  if (arguments.Has(kKey)) {
    results.push_back(
        {arguments.ShapeOf("B T K 2F"), Elements::kStored, /*updates=*/-1, /*reuses=*/kKey});
  }
  return results;
}

void RotaryOp::Run(const Arguments& arguments, const std::vector<void*>& results, float*,
                   const ParallelFor& parallel_for) {
  RotaryProblem problem{};
  problem.batch = arguments.Size('B');
  problem.steps = arguments.Size('T');
  problem.pairs = arguments.Size('F');
  problem.arrays[0] = {arguments.data[kQuery], results[0], arguments.Size('N')};
  if (arguments.Has(kKey)) {
    problem.arrays[1] = {arguments.data[kKey], results[1], arguments.Size('K')};
  }
  problem.storage = arguments.storage;
  problem.positions = static_cast<const int32_t*>(arguments.data[kPositions]);
  const Shape& shape = arguments.shapes[kPositions];
  // Positions [1, T] are those of all rows.
  problem.has_rows = shape.size() == 2 && shape[0] == problem.batch;
  problem.frequencies = static_cast<const float*>(arguments.data[kFrequencies]);
  problem.magnitude = arguments.attributes.magnitude;
  problem.is_transposed = arguments.attributes.transposed;
  Rotary(problem, ChosenIsa(), parallel_for);
}

}  // namespace ikelos
