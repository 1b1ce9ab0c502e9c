#include "core/parallel.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <utility>

namespace ikelos {
namespace {

using Clock = std::chrono::steady_clock;

// For this long, a thread that has finished its part of a short call waits for the next call, if
// the last two were no further apart. Waking a thread that sleeps takes 20 to 60 microseconds, as
// long as a small op; so in a decoding loop, without waiting, the calling thread does nearly all
// alone. After a long call it does not pay: TensorFlow's next op may need the thread.
constexpr std::chrono::microseconds kLinger(50), kShort(500);

// State that the caller and its helpers share. A helper that the pool starts late finds no index
// left and touches only this state. The caller may have returned long before, so a shared_ptr owns
// the state.
struct Work {
  const int64_t count;
  const std::function<void(int64_t)>* task;
  const bool lingers;  // whether its helpers wait for the next call, if this one is short
  const Clock::time_point start = Clock::now();
  std::atomic<int64_t> next{0};
  std::atomic<int64_t> done{0};
  std::mutex mutex;
  std::condition_variable all_done;

  Work(int64_t count, const std::function<void(int64_t)>* task, bool lingers)
      : count(count), task(task), lingers(lingers) {}

  void Help() noexcept {
    int64_t finished = 0;
    for (int64_t i = next++; i < count; i = next++) {
      (*task)(i);
      ++finished;
    }
    if (finished == 0) {
      return;
    }
    if (done.fetch_add(finished, std::memory_order_acq_rel) + finished == count) {
      const std::lock_guard<std::mutex> lock(mutex);
      all_done.notify_all();
    }
  }

  bool IsDone() const { return done.load(std::memory_order_acquire) == count; }

  // Waits for the helpers' last tasks. Most end soon, so that sleeping would take longer.
  void Wait() {
    const Clock::time_point end = Clock::now() + kLinger;
    while (!IsDone() && Clock::now() < end) {
      Pause();
    }
    std::unique_lock<std::mutex> lock(mutex);
    all_done.wait(lock, [this] { return IsDone(); });
  }
};

// The threads that wait for a call, whoever makes it.
class Lingering {
 public:
  // Never destroyed: at the end of the process, threads of a pool may still be waiting.
  static Lingering& Instance() {
    static Lingering* const instance = new Lingering;
    return *instance;
  }

  // Whether a call that begins now follows closely on the last one.
  bool FollowsClosely() const {
    return Clock::now().time_since_epoch().count() - last_end_.load(std::memory_order_relaxed) <
           std::chrono::duration_cast<Clock::duration>(kLinger).count();
  }
  void CallEnded() {
    last_end_.store(Clock::now().time_since_epoch().count(), std::memory_order_relaxed);
  }

  // Gives the work to `wanted` of the threads that wait, or to all if there are fewer; returns
  // their number.
  int64_t Offer(const std::shared_ptr<Work>& work, int64_t wanted) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const int64_t claimed = std::min(wanted, waiting_ - static_cast<int64_t>(offered_.size()));
    for (int64_t i = 0; i < claimed; ++i) {
      offered_.push_back(work);
    }
    if (claimed > 0) {
      offers_.fetch_add(1, std::memory_order_release);
    }
    return claimed;
  }

  // Waits for work, for kLinger at most, and returns it or null.
  std::shared_ptr<Work> Wait() {
    const Clock::time_point end = Clock::now() + kLinger;
    std::unique_lock<std::mutex> lock(mutex_);
    ++waiting_;
    while (offered_.empty() && Clock::now() < end) {
      const int64_t seen = offers_.load(std::memory_order_relaxed);
      lock.unlock();
      while (offers_.load(std::memory_order_acquire) == seen && Clock::now() < end) {
        Pause();
      }
      lock.lock();
    }
    // There are never more offers than threads that wait, so each is taken.
    --waiting_;
    if (offered_.empty()) {
      return nullptr;
    }
    const std::shared_ptr<Work> work = std::move(offered_.front());
    offered_.pop_front();
    return work;
  }

 private:
  std::atomic<int64_t> last_end_{0}, offers_{0};
  std::mutex mutex_;
  int64_t waiting_ = 0;
  std::deque<std::shared_ptr<Work>> offered_;
};

void Help(std::shared_ptr<Work> work) {
  while (work != nullptr) {
    work->Help();
    const bool lingers = work->lingers && Clock::now() - work->start < kShort;
    work = lingers ? Lingering::Instance().Wait() : nullptr;
  }
}

}  // namespace

void Pause() {
#ifdef IKELOS_X86
  __builtin_ia32_pause();
#endif
}

ParallelFor OnPool(int64_t num_threads, Schedule schedule) {
  return {num_threads, [num_threads, schedule = std::move(schedule)](
                           int64_t count, const std::function<void(int64_t)>& task) {
            if (count <= 1 || num_threads <= 1) {
              for (int64_t i = 0; i < count; ++i) {
                task(i);
              }
              return;
            }
            Lingering& lingering = Lingering::Instance();
            auto work = std::make_shared<Work>(count, &task, lingering.FollowsClosely());
            const int64_t helpers = std::min(num_threads, count) - 1;
            for (int64_t i = lingering.Offer(work, helpers); i < helpers; ++i) {
              schedule([work] { Help(work); });
            }
            work->Help();
            work->Wait();
            lingering.CallEnded();
          }};
}

}  // namespace ikelos
