// Splits a dense product into tasks. The split depends only on the sizes.
#include "core/dense.h"

#include <algorithm>

#include "core/dense_columns.h"
#include "core/thread_scratch.h"

namespace ikelos {
namespace {

// Weights per task: some microseconds of reading, so that waking a thread pays.
constexpr int64_t kTaskWeights = 1 << 16;

// Columns per task: a task reads that much of each row, and longer runs come faster from memory.
constexpr int64_t kTaskColumns = 192;

constexpr int64_t kMostTasks = 16;

// Columns are split at whole cache lines, in any storage.
constexpr int64_t kColumnStep = 64;

int64_t ColumnsPerTask(int64_t width, int64_t weights) {
  const int64_t tasks =
      std::max<int64_t>(1, std::min({kMostTasks, weights / kTaskWeights, width / kTaskColumns}));
  return CeilDiv(CeilDiv(width, tasks), kColumnStep) * kColumnStep;
}

}  // namespace

void Dense(const DenseProblem& p, Isa isa, const ParallelFor& parallel_for) {
  if (p.rows == 0) {
    return;
  }
  const DenseColumns& kernel = IKELOS_PICK(isa, kDenseColumns);
  const int64_t outputs = p.gated ? 1 : p.count;
  const int64_t depth = p.gated ? 2 * p.depth : p.depth;
  int64_t columns[kMostDenseKernels];
  int64_t first[kMostDenseKernels + 1] = {};  // the first task of each output
  for (int64_t i = 0; i < outputs; ++i) {
    columns[i] = std::max(kColumnStep, ColumnsPerTask(p.widths[i], depth * p.widths[i]));
    first[i + 1] = first[i] + CeilDiv(p.widths[i], columns[i]);
  }
  parallel_for(first[outputs], [&](int64_t task) {
    const int64_t output = std::upper_bound(first, first + outputs, task) - first - 1;
    const int64_t begin = (task - first[output]) * columns[output];
    kernel.run(p, output, begin, std::min(p.widths[output], begin + columns[output]),
               ThreadScratch(kernel.scratch(p, columns[output])));
  });
}

}  // namespace ikelos
