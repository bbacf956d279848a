#include "cc/index/reclaimer.h"

#include <atomic>
#include <chrono>
#include <future>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace stepwell::index {
namespace {

using std::chrono::hours;
using std::chrono::nanoseconds;

TEST(ReclaimerTest, NothingRunsUnasked) {
  std::atomic<int> runs{0};
  {
    Reclaimer reclaimer([&](const std::atomic<bool>&) { ++runs; });
  }
  EXPECT_EQ(runs, 0);
}

void AwaitRuns(const Reclaimer& reclaimer, int64_t num_runs) {
  while (reclaimer.num_runs() < num_runs) std::this_thread::yield();
}

TEST(ReclaimerTest, EachUrgentRequestRunsAtOnce) {
  std::atomic<int> asked{0}, seen{0};
  Reclaimer reclaimer([&](const std::atomic<bool>&) { seen = asked.load(); }, hours(1));
  for (int i = 1; i <= 100; ++i) {
    asked = i;
    reclaimer.RunNow();
    AwaitRuns(reclaimer, i);
    ASSERT_EQ(seen, i);
  }
}

TEST(ReclaimerTest, ALazyRequestWaitsForItsTimeAndAnUrgentOneDoesNot) {
  std::atomic<int> runs{0};
  Reclaimer reclaimer([&](const std::atomic<bool>&) { ++runs; }, hours(1));
  reclaimer.RunSoon();
  for (int look = 0; look < 1000; ++look) {
    std::this_thread::yield();
    ASSERT_EQ(runs, 0);
  }
  reclaimer.RunNow();
  AwaitRuns(reclaimer, 1);
  EXPECT_EQ(runs, 1);
}

TEST(ReclaimerTest, ALazyRequestRunsInTheEnd) {
  std::promise<void> ran;
  Reclaimer reclaimer([&](const std::atomic<bool>&) { ran.set_value(); },
                      nanoseconds(1));
  reclaimer.RunSoon();
  ran.get_future().wait();
}

TEST(ReclaimerTest, RequestsDuringARunAreOneMoreRun) {
  std::promise<void> began, go_on;
  std::atomic<int> runs{0};
  Reclaimer reclaimer(
      [&](const std::atomic<bool>&) {
        if (++runs > 1) return;
        began.set_value();
        go_on.get_future().wait();
      },
      hours(1));
  reclaimer.RunNow();
  began.get_future().wait();
  for (int i = 0; i < 10; ++i) reclaimer.RunNow();
  go_on.set_value();
  AwaitRuns(reclaimer, 2);
  reclaimer.RunNow();
  AwaitRuns(reclaimer, 3);
  EXPECT_EQ(runs, 3);
}

TEST(ReclaimerTest, TheEndStopsALongRun) {
  std::promise<void> began;
  Reclaimer reclaimer([&](const std::atomic<bool>& stop) {
    began.set_value();
    while (!stop) std::this_thread::yield();
  });
  reclaimer.RunNow();
  began.get_future().wait();
}

TEST(ReclaimerTest, ManyThreadsMayAsk) {
  std::atomic<int64_t> runs{0};
  Reclaimer reclaimer([&](const std::atomic<bool>&) { ++runs; }, nanoseconds(1));
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 200; ++j) {
        reclaimer.RunSoon();
        reclaimer.RunNow();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  AwaitRuns(reclaimer, 1);
}

}  // namespace
}  // namespace stepwell::index
