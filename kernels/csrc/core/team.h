// Threads that work in lockstep.
#ifndef IKELOS_CORE_TEAM_H_
#define IKELOS_CORE_TEAM_H_

#include <cstdint>
#include <functional>

#include "core/parallel.h"

namespace ikelos {

// Runs task(step, lane) once for each lane of each step, on any threads, and a step only when all
// tasks of the step before are done. A thread keeps its lane from step to step where it can, so
// that data which the lane reads again stay in that thread's cache. It also takes lanes that no
// other thread has begun, and waits only for lanes on which another thread works. So any number of
// threads will do, however late they come. Threads wait by spinning, so a step should be short
// compared with the time for which a thread is scheduled.
void RunSteps(int64_t steps, int64_t lanes, const std::function<void(int64_t, int64_t)>& task,
              const ParallelFor& parallel_for);

}  // namespace ikelos

#endif  // IKELOS_CORE_TEAM_H_
