// Threads that work in step.
#ifndef IKELOS_CORE_TEAM_H_
#define IKELOS_CORE_TEAM_H_

#include <cstdint>
#include <functional>

#include "core/parallel.h"

namespace ikelos {

// Runs task(step, lane) for each lane of each step, once, on any threads; those of a step when all
// of the step before are done. A thread stays with its lane from step to step where it can, so that
// what the lane reads again stays in that thread's cache. It takes the lanes that nobody else has
// begun, and waits only for those somebody works on: any number of threads will do, however late
// they come. They wait by spinning: a step should be short beside the time a thread is scheduled
// for.
void RunSteps(int64_t steps, int64_t lanes, const std::function<void(int64_t, int64_t)>& task,
              const ParallelFor& parallel_for);

}  // namespace ikelos

#endif  // IKELOS_CORE_TEAM_H_
