// Helpers of the test programs.
#ifndef IKELOS_TESTS_TESTING_H_
#define IKELOS_TESTS_TESTING_H_

#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/parallel.h"

namespace ikelos {

inline int failures = 0;

inline void Expect(bool condition, const std::string& what) {
  if (condition) {
    return;
  }
  ++failures;
  std::printf("FAILED: %s\n", what.c_str());
}

// Returns the exit status of main.
inline int Verdict() {
  std::printf(failures == 0 ? "all passed\n" : "%d failed\n", failures);
  return failures == 0 ? 0 : 1;
}

template <typename T>
bool SameBits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

inline const ParallelFor kSerial = OnPool(1, nullptr);

// A pool of `count` threads in all: the caller's and count - 1 others, which are joined at the end.
class ThreadPool {
 public:
  explicit ThreadPool(int count) : count_(count) {
    for (int i = 1; i < count; ++i) {
      threads_.emplace_back([this] { Work(); });
    }
  }
  ~ThreadPool() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      closing_ = true;
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) {
      thread.join();
    }
  }
  ParallelFor For() {
    return OnPool(count_, [this](std::function<void()> work) {
      {
        std::lock_guard<std::mutex> lock(mutex_);
        queue_.push_back(std::move(work));
      }
      wake_.notify_one();
    });
  }

 private:
  void Work() {
    std::unique_lock<std::mutex> lock(mutex_);
    while (true) {
      wake_.wait(lock, [this] { return closing_ || !queue_.empty(); });
      if (queue_.empty()) {
        return;
      }
      std::function<void()> work = std::move(queue_.front());
      queue_.pop_front();
      lock.unlock();
      work();
      lock.lock();
    }
  }

  const int count_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> queue_;
  bool closing_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace ikelos

#endif  // IKELOS_TESTS_TESTING_H_
