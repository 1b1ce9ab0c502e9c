#include "core/team.h"

#include <atomic>
#include <thread>
#include <vector>

namespace ikelos {
namespace {

// Each lane is on a separate cache line, because different threads mostly own them.
struct alignas(64) Lane {
  std::atomic<int64_t> next{0};  // the first step that no thread has begun
};

// Some 50 microseconds of waiting: longer than most steps of other threads, shorter than being
// scheduled again.
constexpr int kSpins = 2000;

}  // namespace

void RunSteps(int64_t steps, int64_t lanes, const std::function<void(int64_t, int64_t)>& task,
              const ParallelFor& parallel_for) {
  std::vector<Lane> progress(static_cast<size_t>(lanes));
  alignas(64) std::atomic<int64_t> done{0};  // tasks of all steps
  parallel_for(lanes, [&](int64_t home) {
    for (int64_t step = done.load(std::memory_order_acquire) / lanes; step < steps; ++step) {
      for (int64_t i = 0; i < lanes; ++i) {
        const int64_t lane = (home + i) % lanes;
        std::atomic<int64_t>& next = progress[static_cast<size_t>(lane)].next;
        int64_t expected = step;
        if (next.load(std::memory_order_relaxed) == step &&
            next.compare_exchange_strong(expected, step + 1, std::memory_order_relaxed)) {
          task(step, lane);
          done.fetch_add(1, std::memory_order_acq_rel);
        }
      }
      for (int spins = 0; done.load(std::memory_order_acquire) < (step + 1) * lanes; ++spins) {
        if (spins < kSpins) {
          Pause();
        } else {
          std::this_thread::yield();
        }
      }
    }
  });
}

}  // namespace ikelos
