#include "core/parallel.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <utility>

namespace ikelos {
namespace {

// State that the caller and its helpers share. A helper that the pool starts late finds no index
// left and touches only this state. The caller may have returned long before, so a shared_ptr owns
// the state.
struct Work {
  const int64_t count;
  const std::function<void(int64_t)>* task;
  std::atomic<int64_t> next{0};
  std::mutex mutex;
  std::condition_variable all_done;
  int64_t done = 0;

  Work(int64_t count, const std::function<void(int64_t)>* task) : count(count), task(task) {}

  void Help() noexcept {
    int64_t finished = 0;
    for (int64_t i = next++; i < count; i = next++) {
      (*task)(i);
      ++finished;
    }
    if (finished == 0) {
      return;
    }
    std::lock_guard<std::mutex> lock(mutex);
    done += finished;
    if (done == count) {
      all_done.notify_all();
    }
  }
};

}  // namespace

ParallelFor OnPool(int64_t num_threads, Schedule schedule) {
  return {num_threads, [num_threads, schedule = std::move(schedule)](
                           int64_t count, const std::function<void(int64_t)>& task) {
            if (count <= 1 || num_threads <= 1) {
              for (int64_t i = 0; i < count; ++i) {
                task(i);
              }
              return;
            }
            auto work = std::make_shared<Work>(count, &task);
            const int64_t helpers = std::min(num_threads, count) - 1;
            for (int64_t i = 0; i < helpers; ++i) {
              schedule([work] { work->Help(); });
            }
            work->Help();
            std::unique_lock<std::mutex> lock(work->mutex);
            work->all_done.wait(lock, [&] { return work->done == work->count; });
          }};
}

}  // namespace ikelos
