// Tests of core/team.h. Prints the failures, and then exits with 1.
#include <cstdint>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/team.h"
#include "tests/testing.h"

namespace ikelos {
namespace {

// The lanes of all steps write here without a lock: each adds up the numbers that all lanes of the
// step before wrote. The thread sanitizer watches these accesses.
class Work {
 public:
  Work(int64_t steps, int64_t lanes)
      : lanes_(lanes), values_(steps * lanes), runs_(steps * lanes) {}

  void operator()(int64_t step, int64_t lane) {
    int64_t sum = lane + 1;
    for (int64_t i = 0; step > 0 && i < lanes_; ++i) {
      sum += values_[(step - 1) * lanes_ + i];
    }
    values_[step * lanes_ + lane] = sum % 1000003;
    ++runs_[step * lanes_ + lane];
  }
  // Each task ran once, and its input was ready.
  bool IsDone() const {
    Work again(static_cast<int64_t>(values_.size()) / lanes_, lanes_);
    for (int64_t i = 0; i < static_cast<int64_t>(values_.size()); ++i) {
      again(i / lanes_, i % lanes_);
    }
    return values_ == again.values_ && runs_ == again.runs_;
  }

 private:
  const int64_t lanes_;
  std::vector<int64_t> values_, runs_;
};

constexpr int64_t kSteps[] = {0, 1, 2, 300};
constexpr int64_t kLanes[] = {1, 2, 3, 8, 13};

void ExpectDone(const ParallelFor& parallel_for, const std::string& with) {
  for (int64_t steps : kSteps) {
    for (int64_t lanes : kLanes) {
      Work work(steps, lanes);
      RunSteps(steps, lanes, std::ref(work), parallel_for);
      Expect(work.IsDone(), std::to_string(steps) + " steps of " + std::to_string(lanes) +
                                " lanes go wrong with " + with);
    }
  }
}

void AnyNumberOfThreads() {
  ExpectDone(kSerial, "one thread");
  for (int threads : {2, 3, 8}) {
    ThreadPool pool(threads);
    ExpectDone(pool.For(), std::to_string(threads) + " threads");
  }
}

// One thread runs all tasks, in the reverse order.
void TasksInAnyOrder() {
  ExpectDone({8,
              [](int64_t count, const std::function<void(int64_t)>& task) {
                for (int64_t i = count - 1; i >= 0; --i) {
                  task(i);
                }
              }},
             "tasks run backwards");
}

void HelpersAfterTheEnd() {
  std::vector<std::function<void()>> late;
  ExpectDone(OnPool(8, [&](std::function<void()> help) { late.push_back(std::move(help)); }),
             "helpers that have not come");
  Expect(!late.empty(), "helpers must be asked for");
  for (auto& help : late) {
    help();
  }
}

// Helpers that arrive during the work, one every 100 steps.
void HelpersInTheMiddle() {
  constexpr int64_t kManySteps = 600, kSomeLanes = 5;
  Work work(kManySteps, kSomeLanes);
  std::vector<std::function<void()>> waiting;
  std::vector<std::thread> helpers;
  RunSteps(
      kManySteps, kSomeLanes,
      [&](int64_t step, int64_t lane) {
        work(step, lane);
        // Steps are apart, so one thread at a time is here.
        if (step % 100 == 99 && lane == 0 && !waiting.empty()) {
          helpers.emplace_back(std::move(waiting.back()));
          waiting.pop_back();
        }
      },
      OnPool(kSomeLanes, [&](std::function<void()> help) { waiting.push_back(std::move(help)); }));
  Expect(waiting.empty() && helpers.size() == 4, "4 helpers must have come");
  for (std::thread& helper : helpers) {
    helper.join();
  }
  Expect(work.IsDone(), "helpers that come in the middle spoil the work");
}

}  // namespace
}  // namespace ikelos

int main() {
  ikelos::AnyNumberOfThreads();
  ikelos::TasksInAnyOrder();
  ikelos::HelpersAfterTheEnd();
  ikelos::HelpersInTheMiddle();
  return ikelos::Verdict();
}
