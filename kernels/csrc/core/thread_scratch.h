#ifndef IKELOS_CORE_THREAD_SCRATCH_H_
#define IKELOS_CORE_THREAD_SCRATCH_H_

#include <cstdint>

namespace ikelos {

// This thread's scratch memory, aligned to a cache line. It is kept from call to call, since fresh
// memory costs a page fault every 4 KB, and grows to the largest task that the thread ever had:
// some MB, as the kernels split their work into blocks.
float* ThreadScratch(int64_t floats);

}  // namespace ikelos

#endif  // IKELOS_CORE_THREAD_SCRATCH_H_
