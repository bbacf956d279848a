// Everything at once: appends, submissions, posts, readers, trims and, in the middle of
// it, the end. Run again with sanitisers of threads and of addresses.
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "cc/event_log/event_log.h"

namespace stepwell::event_log {
namespace {

constexpr int kNumBatches = 80;
constexpr int kNumThreads = 2;  // of each kind
constexpr int64_t kForEver = std::numeric_limits<int64_t>::max();

std::string IdOf(const std::string& kind, int thread, int step) {
  return kind + std::to_string(thread) + "-" + std::to_string(step);
}

class EventLogStressTest : public testing::Test {
 protected:
  void SetUp() override {
    const std::string folder =
        testing::TempDir() + "/event_log_stress_test_" +
        testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(folder);
    log_ = *EventLog::Open(folder, {.max_group_events = 64, .linger_us = 200});
  }

  template <typename Work>
  void Run(Work work) {
    for (int i = 0; i < kNumThreads; ++i) threads_.emplace_back([=] { work(i); });
  }

  void Join() {
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

  std::unique_ptr<EventLog> log_;
  std::vector<std::thread> threads_;
};

TEST_F(EventLogStressTest, EveryEventIsStoredOnceAndEveryTicketComesBack) {
  std::atomic<int64_t> num_posted{0};
  std::atomic<int64_t> num_tickets{0};
  std::atomic<int64_t> num_done{0};
  std::thread collector([&] {
    while (true) {
      const std::vector<Done> dones = log_->WaitDone(kForEver);
      if (dones.empty()) return;
      for (const Done& done : dones) num_done += done.receipt.ok() ? 1 : 0;
    }
  });
  Run([&](int thread) {
    for (int step = 0; step < kNumBatches; ++step) {
      ASSERT_TRUE(log_->Append({{IdOf("a", thread, step), "x"}, {"same", "y"}}).ok());
    }
  });
  Run([&](int thread) {
    for (int step = 0; step < kNumBatches; ++step) {
      num_tickets += log_->Submit({{IdOf("s", thread, step), "x"}}).ok() ? 1 : 0;
    }
  });
  Run([&](int thread) {
    for (int step = 0; step < kNumBatches; ++step) {
      num_posted += *log_->Post({IdOf("p", thread, step), "x"}) ? 1 : 0;
    }
  });
  Run([&](int thread) {
    for (int step = 0; step < kNumBatches; ++step) {
      EXPECT_TRUE(log_->ReadExcept("p", step, 50).ok());
      EXPECT_TRUE(log_->Read(0, 50).ok());
      EXPECT_TRUE(log_->CommitOffset(std::to_string(thread), step).ok());
      EXPECT_GE(log_->post_counts().num_stored, 0);
      EXPECT_EQ(log_->last_loss(), "");
    }
  });
  Join();
  const int64_t num_appended = kNumThreads * kNumBatches + 1;
  ASSERT_TRUE(log_->Append({{"last", ""}}).ok());
  EXPECT_EQ(*log_->EndOffset(), num_appended + num_tickets + num_posted + 1);
  log_->Close();
  collector.join();
  EXPECT_EQ(num_done, num_tickets);
  EXPECT_EQ(log_->post_counts().num_stored, num_posted);
  EXPECT_EQ(num_tickets, kNumThreads * kNumBatches);
  EXPECT_EQ(num_posted, kNumThreads * kNumBatches);
}

TEST_F(EventLogStressTest, ItMayBeClosedWhileEverybodyUsesIt) {
  std::atomic<int> num_steps{0};
  const auto is_closed = [](const absl::Status& status) {
    EXPECT_TRUE(status.ok() || status.code() == absl::StatusCode::kFailedPrecondition)
        << status;
    return !status.ok();
  };
  Run([&](int thread) {
    for (int step = 0;; ++step, ++num_steps) {
      if (is_closed(log_->Append({{IdOf("a", thread, step), "x"}}).status())) return;
    }
  });
  Run([&](int thread) {
    for (int step = 0; *log_->Post({IdOf("p", thread, step), "x"}); ++step) {
      if (is_closed(log_->Append({{IdOf("q", thread, step), "x"}}).status())) return;
    }
  });
  Run([&](int) {
    while (!is_closed(log_->Read(0, 10).status())) std::this_thread::yield();
  });
  Run([&](int) {
    while (!is_closed(log_->Trim(5).status())) std::this_thread::yield();
  });
  Run([&](int) {
    for (int64_t end = 0;; ++end) {
      if (is_closed(log_->Wait(end, kForEver).status())) return;
    }
  });
  Run([&](int) {
    while (num_steps < kNumBatches) std::this_thread::yield();
    log_->Close();
  });
  Join();
  EXPECT_EQ(log_->EndOffset().status().code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace stepwell::event_log
