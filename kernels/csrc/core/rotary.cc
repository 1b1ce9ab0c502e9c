#include "core/rotary.h"

#include <algorithm>

#include "core/rotary_rows.h"
#include "core/thread_scratch.h"

namespace ikelos {
namespace {

// Elements per task: some microseconds of work, so that waking a thread pays. A call of fewer
// elements, such as that of a decoded token, is one task and runs on the calling thread.
constexpr int64_t kTaskElements = 16384;

}  // namespace

void Rotary(const RotaryProblem& problem, Isa isa, const ParallelFor& parallel_for) {
  if (problem.pairs == 0 || problem.batch == 0 || problem.steps == 0) {
    return;
  }
  const int64_t elements = (problem.arrays[0].heads + problem.arrays[1].heads) * 2 * problem.pairs;
  if (elements == 0) {
    return;
  }
  RotaryProblem p = problem;
  if (p.has_rows) {
    p.steps *= p.batch;
    p.batch = 1;
  }
  // Rows of the batch that share positions also share sines, within a task.
  const int64_t rows = std::min(p.batch, std::max<int64_t>(1, kTaskElements / elements));
  const int64_t steps = std::max<int64_t>(1, kTaskElements / (rows * elements));
  const int64_t row_tasks = CeilDiv(p.batch, rows);
  const RotaryRows& kernel = IKELOS_PICK(isa, kRotaryRows);
  parallel_for(row_tasks * CeilDiv(p.steps, steps), [&](int64_t task) {
    const int64_t row = task % row_tasks * rows, step = task / row_tasks * steps;
    kernel.rotate[static_cast<int>(p.storage)](
        p, {row, std::min(row + rows, p.batch), step, std::min(step + steps, p.steps)},
        ThreadScratch(kernel.scratch(p.pairs)));
  });
}

}  // namespace ikelos
