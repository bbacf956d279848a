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

TEST(ReclaimerTest, WhoWaitsSeesARunThatBeganAfterTheCall) {
  std::atomic<int> asked{0}, seen{0};
  Reclaimer reclaimer([&](const std::atomic<bool>&) { seen = asked.load(); }, hours(1));
  for (int i = 1; i <= 100; ++i) {
    asked = i;
    reclaimer.RunAndWait();
    ASSERT_EQ(seen, i);
  }
  EXPECT_EQ(reclaimer.num_runs(), 100);
}

TEST(ReclaimerTest, ALazyRequestWaitsForItsTimeAndAnUrgentOneDoesNot) {
  std::atomic<int> runs{0};
  Reclaimer reclaimer([&](const std::atomic<bool>&) { ++runs; }, hours(1));
  reclaimer.RunSoon();
  for (int look = 0; look < 1000; ++look) {
    std::this_thread::yield();
    ASSERT_EQ(runs, 0);
  }
  reclaimer.RunAndWait();
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
  std::thread waiter([&] { reclaimer.RunAndWait(); });
  go_on.set_value();
  waiter.join();
  // The waiter may have asked before the second run began or after it.
  reclaimer.RunAndWait();
  EXPECT_GE(runs, 3);
  EXPECT_LE(runs, 4);
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
        if (j % 10 == 0) reclaimer.RunAndWait();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  reclaimer.RunAndWait();
  EXPECT_EQ(reclaimer.num_runs(), runs);
}

}  // namespace
}  // namespace stepwell::index
