// Threads that work in lockstep.
#ifndef IKELOS_CORE_TEAM_H_
#define IKELOS_CORE_TEAM_H_

#include <cstdint>
#include <functional>

#include "core/parallel.h"

namespace ikelos {

// Runs task(step, lane) for each lane of each step, once, on any threads, and a step only when all
// tasks of the step before are done. A thread keeps its lane from step to step where it can, so
// that what the lane reads again stays in that thread's cache. It also takes lanes that no other
// thread has begun, and waits only for those that one works on: any number of threads will do,
// however late they come. They wait by spinning, so a step should be short compared with the time
// for which a thread is scheduled.
void RunSteps(int64_t steps, int64_t lanes, const std::function<void(int64_t, int64_t)>& task,
              const ParallelFor& parallel_for);

}  // namespace ikelos

#endif  // IKELOS_CORE_TEAM_H_
