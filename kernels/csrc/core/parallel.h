// How a kernel uses threads that it does not own.
#ifndef IKELOS_CORE_PARALLEL_H_
#define IKELOS_CORE_PARALLEL_H_

#include <cstdint>
#include <functional>

namespace ikelos {

// Runs task(0) ... task(count - 1), each once, in any order, on any threads, and returns when all
// are done. A kernel splits its work into tasks by its sizes alone and merges partial results in
// task order, so its results do not depend on the number of threads. A task must not throw, because
// other threads would go on using memory that the caller has left. Running out of memory in a task
// ends the process.
struct ParallelFor {
  int64_t num_threads;  // at most this many tasks run at once
  std::function<void(int64_t count, const std::function<void(int64_t)>& task)> run;

  void operator()(int64_t count, const std::function<void(int64_t)>& task) const {
    run(count, task);
  }
};

// The number of pieces of `size` that cover `count`.
inline int64_t CeilDiv(int64_t count, int64_t size) { return (count + size - 1) / size; }

// Tells the processor that this thread only waits.
void Pause();

// Hands a closure to a thread pool, which runs it some time later.
using Schedule = std::function<void(std::function<void()>)>;

// A ParallelFor over a pool. The calling thread works too and never waits for a closure that the
// pool has not started, so it is safe to call from a thread of that same pool. `schedule` must stay
// usable until the call returns.
ParallelFor OnPool(int64_t num_threads, Schedule schedule);

}  // namespace ikelos

#endif  // IKELOS_CORE_PARALLEL_H_
