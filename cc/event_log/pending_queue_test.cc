#include "cc/event_log/pending_queue.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace stepwell::event_log {
namespace {

// A test that waited for it would not end.
constexpr int64_t kAnHourUs = 3'600'000'000;

Pending Awaited(int64_t ticket, int num_events = 1) {
  return {.batch = Batch(num_events, Record{"id", "pay"}), .ticket = ticket};
}

Pending Posted(const std::string& id) { return {.batch = {{id, "pay"}}}; }

absl::Status Push(PendingQueue& queue, Pending pending) { return queue.Push(&pending); }

std::vector<int64_t> TicketsOf(const std::vector<Pending>& group) {
  std::vector<int64_t> tickets;
  for (const Pending& pending : group) tickets.push_back(pending.ticket);
  return tickets;
}

TEST(PendingQueue, AGroupIsAllThatWaitsInOrder) {
  PendingQueue queue({});
  for (int i = 1; i <= 3; ++i) ASSERT_TRUE(Push(queue, Awaited(i)).ok());
  EXPECT_EQ(TicketsOf(queue.TakeGroup()), (std::vector<int64_t>{1, 2, 3}));
}

TEST(PendingQueue, AGroupEndsBeforeABatchThatWouldBeCut) {
  PendingQueue queue({.max_group_events = 5});
  for (int i = 1; i <= 4; ++i) ASSERT_TRUE(Push(queue, Awaited(i, 2)).ok());
  ASSERT_TRUE(Push(queue, Awaited(5, 9)).ok());
  EXPECT_EQ(TicketsOf(queue.TakeGroup()), (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(TicketsOf(queue.TakeGroup()), (std::vector<int64_t>{3, 4}));
  EXPECT_EQ(TicketsOf(queue.TakeGroup()), (std::vector<int64_t>{5}));
}

TEST(PendingQueue, ABatchWithoutRoomIsRefusedAndLeftWhole) {
  PendingQueue queue({.max_pending_events = 5});
  ASSERT_TRUE(Push(queue, Awaited(1, 3)).ok());
  Pending refused = Awaited(2, 3);
  const absl::Status status = queue.Push(&refused);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(refused.batch.size(), 3);
  ASSERT_TRUE(Push(queue, Awaited(3, 2)).ok());
  EXPECT_EQ(TicketsOf(queue.TakeGroup()), (std::vector<int64_t>{1, 3}));
  EXPECT_TRUE(Push(queue, Awaited(4, 5)).ok());
}

TEST(PendingQueue, IdsAndPayloadsCountAsBytes) {
  PendingQueue queue({.max_pending_bytes = 10});
  ASSERT_TRUE(Push(queue, Awaited(1, 2)).ok());
  EXPECT_EQ(Push(queue, Awaited(2)).code(), absl::StatusCode::kResourceExhausted);
  queue.TakeGroup();
  EXPECT_TRUE(Push(queue, Awaited(3)).ok());
}

TEST(PendingQueue, WhatIsPostedTakesNoMoreThanHalf) {
  PendingQueue queue({.max_pending_events = 6, .linger_us = 0});
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Push(queue, Posted("p")).ok());
  EXPECT_EQ(Push(queue, Posted("p")).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(Push(queue, Awaited(1, 3)).ok());
  EXPECT_EQ(queue.TakeGroup().size(), 4);
  EXPECT_TRUE(Push(queue, Posted("p")).ok());
}

TEST(PendingQueue, WhatIsPostedWaitsForABatchThatSomebodyWaitsFor) {
  PendingQueue queue({.linger_us = kAnHourUs});
  ASSERT_TRUE(Push(queue, Posted("p")).ok());
  std::vector<Pending> group;
  std::thread taker([&] { group = queue.TakeGroup(); });
  ASSERT_TRUE(Push(queue, Posted("q")).ok());
  ASSERT_TRUE(Push(queue, Awaited(1)).ok());
  taker.join();
  ASSERT_EQ(group.size(), 3);
  EXPECT_EQ(group[0].batch[0].id, "p");
  EXPECT_EQ(group[1].batch[0].id, "q");
  EXPECT_EQ(group[2].ticket, 1);
}

TEST(PendingQueue, AWholeGroupOfPostedOnesWaitsNoLonger) {
  PendingQueue queue({.max_group_events = 3, .linger_us = kAnHourUs});
  std::vector<Pending> group;
  std::thread taker([&] { group = queue.TakeGroup(); });
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Push(queue, Posted("p")).ok());
  taker.join();
  EXPECT_EQ(group.size(), 3);
}

TEST(PendingQueue, AGroupThatOnlyLingersIsTakenWhenItsTimeIsOver) {
  PendingQueue queue({.linger_us = 1});
  ASSERT_TRUE(Push(queue, Posted("p")).ok());
  EXPECT_EQ(queue.TakeGroup().size(), 1);
}

TEST(PendingQueue, ClosedItTakesNothingAndHandsOutTheRestAtOnce) {
  PendingQueue queue({.linger_us = kAnHourUs});
  ASSERT_TRUE(Push(queue, Posted("p")).ok());
  queue.Close();
  EXPECT_EQ(Push(queue, Awaited(1)).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(queue.TakeGroup().size(), 1);
  EXPECT_EQ(queue.TakeGroup().size(), 0);
}

TEST(PendingQueue, ClosingWakesWhoWaitsForABatch) {
  PendingQueue queue({});
  std::vector<Pending> group(1);
  std::thread taker([&] { group = queue.TakeGroup(); });
  queue.Close();
  taker.join();
  EXPECT_TRUE(group.empty());
}

}  // namespace
}  // namespace stepwell::event_log
