#include "cc/event_log/group_commit.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <future>
#include <limits>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace stepwell::event_log {
namespace {

constexpr int64_t kForEver = std::numeric_limits<int64_t>::max();

// Receipts as of a log where every event is new.
std::vector<Receipt> AllNew(absl::Span<const Batch> batches) {
  std::vector<Receipt> receipts;
  for (const Batch& batch : batches) {
    receipts.push_back({.offsets = std::vector<int64_t>(batch.size(), 0),
                        .num_stored = static_cast<int64_t>(batch.size())});
  }
  return receipts;
}

std::unique_ptr<GroupCommit> Started(GroupCommit::Commit commit,
                                     const EventLogOptions& options = {}) {
  return *GroupCommit::Start(std::move(commit), options);
}

Batch BatchOf(int num_events) { return Batch(num_events, Record{"id", "pay"}); }

TEST(GroupCommit, WhatGathersDuringACommitSharesTheNextOne) {
  std::promise<void> started;
  std::promise<void> release;
  std::vector<size_t> group_sizes;
  const auto commits = Started([&](absl::Span<const Batch> batches) {
    group_sizes.push_back(batches.size());
    if (group_sizes.size() == 1) {
      started.set_value();
      release.get_future().wait();
    }
    return AllNew(batches);
  });
  ASSERT_TRUE(commits->Submit(BatchOf(1)).ok());
  started.get_future().wait();
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(commits->Submit(BatchOf(2)).ok());
  release.set_value();
  commits->Close();
  EXPECT_EQ(group_sizes, (std::vector<size_t>{1, 5}));
}

TEST(GroupCommit, AFailedGroupFailsAllOfItsBatchesAndTheNextOneIsTried) {
  std::atomic<bool> fails = true;
  const auto commits = Started(
      [&](absl::Span<const Batch> batches) -> absl::StatusOr<std::vector<Receipt>> {
        if (fails) return absl::UnavailableError("the disk is gone");
        return AllNew(batches);
      });
  const auto failed = commits->Append(BatchOf(3));
  EXPECT_EQ(failed.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(failed.status().message(), "the disk is gone");
  fails = false;
  EXPECT_EQ(commits->Append(BatchOf(3))->num_stored, 3);
}

TEST(GroupCommit, TicketsComeBackInOrderEachWithItsEnd) {
  const auto commits =
      Started([](absl::Span<const Batch> batches) { return AllNew(batches); });
  std::vector<int64_t> tickets;
  for (int i = 1; i <= 4; ++i) tickets.push_back(*commits->Submit(BatchOf(i)));
  std::vector<Done> dones;
  while (dones.size() < 4) {
    for (Done& done : commits->Collect(kForEver)) dones.push_back(std::move(done));
  }
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(dones[i].ticket, tickets[i]);
    EXPECT_EQ(dones[i].receipt->num_stored, i + 1);
  }
  EXPECT_TRUE(commits->Collect(0).empty());
}

TEST(GroupCommit, TicketsThatNobodyCollectsAreBounded) {
  const auto commits =
      Started([](absl::Span<const Batch> batches) { return AllNew(batches); },
              {.max_pending_events = 2});
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(commits->Submit(BatchOf(1)).ok());
    ASSERT_TRUE(commits->Append(BatchOf(1)).ok());  // both have ended
  }
  EXPECT_EQ(commits->Submit(BatchOf(1)).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(commits->Collect(0).size(), 2);
  EXPECT_TRUE(commits->Submit(BatchOf(1)).ok());
}

TEST(GroupCommit, WhatBecameOfPostedEventsIsCounted) {
  int step = 0;
  const auto commits = Started(
      [&](absl::Span<const Batch> batches) -> absl::StatusOr<std::vector<Receipt>> {
        if (++step == 2) return absl::ResourceExhaustedError("the disk is full");
        std::vector<Receipt> receipts = AllNew(batches);
        if (step == 3) receipts[0].num_stored = 0;
        return receipts;
      },
      {.linger_us = 3'600'000'000});
  EXPECT_EQ(commits->last_loss(), "");
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(commits->Post({"p", "pay"}));
    commits->Append(BatchOf(1)).IgnoreError();
  }
  const PostCounts counts = commits->counts();
  EXPECT_EQ(counts.num_stored, 1);
  EXPECT_EQ(counts.num_lost, 1);
  EXPECT_EQ(counts.num_duplicates, 1);
  EXPECT_EQ(commits->last_loss(), "the disk is full");
}

TEST(GroupCommit, ClosedItHasCommittedWhatWasQueuedAndTakesNothingMore) {
  const auto commits =
      Started([](absl::Span<const Batch> batches) { return AllNew(batches); },
              {.linger_us = 3'600'000'000});
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(commits->Post({"p", "pay"}));
  commits->Close();
  commits->Close();
  EXPECT_EQ(commits->counts().num_stored, 10);
  EXPECT_FALSE(commits->Post({"p", "pay"}));
  EXPECT_EQ(commits->Append(BatchOf(1)).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(commits->Submit(BatchOf(1)).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(commits->Collect(kForEver).empty());
}

TEST(GroupCommit, ClosingWakesWhoCollects) {
  const auto commits =
      Started([](absl::Span<const Batch> batches) { return AllNew(batches); });
  std::vector<Done> dones(1);
  std::thread collector([&] { dones = commits->Collect(kForEver); });
  commits->Close();
  collector.join();
  EXPECT_TRUE(dones.empty());
}

TEST(GroupCommit, ItsThreadStandsBackAndHasAName) {
  int nice = 0;
  char name[16] = {};
  const int nice_here = getpriority(PRIO_PROCESS, 0);
  const auto commits = Started([&](absl::Span<const Batch> batches) {
    nice = getpriority(PRIO_PROCESS, static_cast<id_t>(gettid()));
    pthread_getname_np(pthread_self(), name, sizeof(name));
    return AllNew(batches);
  });
  ASSERT_TRUE(commits->Append(BatchOf(1)).ok());
  EXPECT_STREQ(name, "event-log");
  EXPECT_EQ(nice, std::max(nice_here, GroupCommit::kNice));
  EXPECT_EQ(getpriority(PRIO_PROCESS, 0), nice_here);
}

}  // namespace
}  // namespace stepwell::event_log
