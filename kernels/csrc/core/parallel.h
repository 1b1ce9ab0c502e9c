// How a kernel uses threads it does not own.
#ifndef IKELOS_CORE_PARALLEL_H_
#define IKELOS_CORE_PARALLEL_H_

#include <cstdint>
#include <functional>

namespace ikelos {

// Runs task(0) ... task(count - 1), each once, in any order, on any threads, and returns when all
// are done. A kernel cuts its work into tasks by its sizes alone and joins partial results in task
// order, so that what it computes does not depend on how many threads there are. A task must not
// throw: other threads would go on with what the caller has left. Running out of memory in one ends
// the process.
struct ParallelFor {
  int64_t num_threads;  // at most so many tasks run at once
  std::function<void(int64_t count, const std::function<void(int64_t)>& task)> run;

  void operator()(int64_t count, const std::function<void(int64_t)>& task) const {
    run(count, task);
  }
};

// How many pieces of `size` cover `count`.
inline int64_t CeilDiv(int64_t count, int64_t size) { return (count + size - 1) / size; }

// Hands a closure to a thread pool, which runs it some time later.
using Schedule = std::function<void(std::function<void()>)>;

// A ParallelFor over a pool. The calling thread works too, and never waits for a closure the pool
// has not started: so it is safe to call from a thread of that same pool. `schedule` must be usable
// until the call returns.
ParallelFor OnPool(int64_t num_threads, Schedule schedule);

}  // namespace ikelos

#endif  // IKELOS_CORE_PARALLEL_H_
