#include "cc/front/admission_queue.h"

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "cc/base/clock.h"
#include "gtest/gtest.h"

namespace stepwell::front {
namespace {

constexpr int kInteractive = 0;
constexpr int kPrefetch = 1;
constexpr int kBatch = 2;

std::shared_ptr<Call> MakeCall(std::string name, int priority = kInteractive,
                               uint64_t key_hash = 0, int64_t arrived_us = 0) {
  return std::make_shared<Call>(CallFields{.message = std::move(name),
                                           .arrived_us = arrived_us,
                                           .deadline_us = arrived_us + 100'000,
                                           .priority = priority,
                                           .key_hash = key_hash,
                                           .metadata = {}},
                                nullptr);
}

std::vector<std::string> Drained(AdmissionQueue& queue) {
  queue.Close();
  std::vector<std::string> names;
  while (const auto call = queue.Take()) names.emplace_back(call->message());
  return names;
}

using Names = std::vector<std::string>;

class AdmissionQueueTest : public testing::Test {
 protected:
  FakeClock clock_;
};

TEST_F(AdmissionQueueTest, ServesByPriorityThenArrival) {
  AdmissionQueue queue(10, clock_);
  EXPECT_FALSE(queue.Offer(MakeCall("b1", kBatch)));
  EXPECT_FALSE(queue.Offer(MakeCall("i1")));
  EXPECT_FALSE(queue.Offer(MakeCall("p1", kPrefetch)));
  EXPECT_FALSE(queue.Offer(MakeCall("i2")));
  EXPECT_EQ(queue.NumAhead(kInteractive), 2);
  EXPECT_EQ(queue.NumAhead(kBatch), 4);
  EXPECT_EQ(Drained(queue), (Names{"i1", "i2", "p1", "b1"}));
}

TEST_F(AdmissionQueueTest, WhenFullTheLowestPriorityGivesWay) {
  AdmissionQueue queue(2, clock_);
  queue.Offer(MakeCall("batch", kBatch));
  queue.Offer(MakeCall("first"));
  const auto refusal = queue.Offer(MakeCall("second"));
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->call->message(), "batch");
  EXPECT_EQ(refusal->why, Refusal::kOverload);
  EXPECT_EQ(refusal->num_ahead, 2);
  EXPECT_EQ(Drained(queue), (Names{"first", "second"}));
}

TEST_F(AdmissionQueueTest, WhenFullANewcomerOfALowerPriorityIsTheOne) {
  AdmissionQueue queue(1, clock_);
  queue.Offer(MakeCall("waiting"));
  const auto newcomer = MakeCall("newcomer", kPrefetch);
  const auto refusal = queue.Offer(newcomer);
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->call, newcomer);
  EXPECT_EQ(Drained(queue), Names{"waiting"});
}

TEST_F(AdmissionQueueTest, AmongEqualsTheHighestHashGivesWay) {
  AdmissionQueue queue(2, clock_);
  queue.Offer(MakeCall("lucky", kInteractive, 1));
  queue.Offer(MakeCall("unlucky", kInteractive, ~uint64_t{0}));
  EXPECT_EQ(queue.Offer(MakeCall("middle", kInteractive, 5))->call->message(),
            "unlucky");
  // Of equal ones the newest.
  EXPECT_EQ(queue.Offer(MakeCall("late", kInteractive, 5))->call->message(), "late");
  EXPECT_EQ(Drained(queue), (Names{"lucky", "middle"}));
}

TEST_F(AdmissionQueueTest, TheRuleDecidesByAgeAndByThoseAhead) {
  AdmissionQueue queue(1'000, clock_);
  queue.SetTerms({.budget_us = 20'000, .popular_mean_us = 200, .popular_p95_us = 200});
  for (int i = 0; i < 499; ++i) EXPECT_FALSE(queue.Offer(MakeCall("")));
  EXPECT_FALSE(queue.Offer(MakeCall("last")));
  const auto refusal = queue.Offer(MakeCall("too many"));
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->num_ahead, 500);
  EXPECT_EQ(refusal->pushback_ms, 100);
  // A person does not wait for those of a lower priority.
  AdmissionQueue other(1'000, clock_);
  other.SetTerms({.budget_us = 20'000, .popular_mean_us = 100'000});
  EXPECT_FALSE(other.Offer(MakeCall("b1", kBatch)));
  EXPECT_FALSE(other.Offer(MakeCall("person")));
  EXPECT_TRUE(other.Offer(MakeCall("b2", kBatch)));
}

TEST_F(AdmissionQueueTest, WhatItHasWaitedIsAheadOfItsNextAttempt) {
  AdmissionQueue queue(1, clock_);
  queue.Offer(MakeCall("batch", kBatch));
  clock_.AdvanceNanos(70'000'000);
  const auto refusal = queue.Offer(MakeCall("person", kInteractive, 0, 70'000));
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->call->message(), "batch");
  EXPECT_EQ(refusal->pushback_ms, 70);
}

TEST_F(AdmissionQueueTest, ADeadlineTooShortForAnyAnswerIsTheCallersOwn) {
  AdmissionQueue queue(2, clock_);
  queue.SetTerms({.popular_mean_us = 2'000, .popular_p95_us = 2'000});
  clock_.AdvanceNanos(99'701'000);
  const auto late = queue.Offer(MakeCall("299 us are left"));
  ASSERT_TRUE(late);
  EXPECT_EQ(late->why, Refusal::kTooLate);
  EXPECT_EQ(late->left_us, 299);
  // Enough for some answer, not for what one takes now: that is our doing.
  const auto overload = queue.Offer(MakeCall("300 us", kInteractive, 0, 1));
  ASSERT_TRUE(overload);
  EXPECT_EQ(overload->why, Refusal::kOverload);
}

TEST_F(AdmissionQueueTest, BehindOthersALateOneIsTheirs) {
  AdmissionQueue queue(2, clock_);
  queue.Offer(MakeCall("waiting"));
  clock_.AdvanceNanos(99'900'000);
  const auto refusal = queue.Offer(MakeCall("100 us are left"));
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->why, Refusal::kOverload);
  EXPECT_EQ(refusal->num_ahead, 1);
}

TEST_F(AdmissionQueueTest, WithoutADeadlineNobodyIsTooLate) {
  AdmissionQueue queue(2, clock_);
  EXPECT_FALSE(queue.Offer(std::make_shared<Call>(CallFields{}, nullptr)));
}

TEST_F(AdmissionQueueTest, WhoHasGoneIsAheadOfNobody) {
  AdmissionQueue queue(2, clock_);
  const auto gone = MakeCall("gone");
  const auto here = MakeCall("here");
  queue.Offer(gone);
  queue.Offer(here);
  EXPECT_TRUE(queue.Abandon(*gone));
  EXPECT_FALSE(queue.Abandon(*gone));
  EXPECT_EQ(queue.NumAhead(kBatch), 1);
  EXPECT_EQ(queue.Lengths()[kInteractive], 1);
  EXPECT_FALSE(queue.Offer(MakeCall("next")));
  EXPECT_EQ(queue.TryTake(), here);
  EXPECT_FALSE(queue.Abandon(*here));
}

TEST_F(AdmissionQueueTest, ACancelledCallIsNeitherHandedOutNorRefused) {
  AdmissionQueue queue(1, clock_);
  const auto gone = MakeCall("gone", kBatch);
  queue.Offer(gone);
  gone->Cancel();
  EXPECT_FALSE(queue.Offer(MakeCall("person")));
  EXPECT_EQ(queue.NumAhead(kBatch), 1);
  AdmissionQueue other(1, clock_);
  other.Offer(gone);
  EXPECT_EQ(other.TryTake(), nullptr);
}

TEST_F(AdmissionQueueTest, ItsAgeIsVisible) {
  AdmissionQueue queue(3, clock_);
  EXPECT_EQ(queue.OldestAgeUs(), 0);
  clock_.AdvanceNanos(50'000);
  queue.Offer(MakeCall("new", kInteractive, 0, 40));
  queue.Offer(MakeCall("old", kBatch, 0, 10));
  EXPECT_EQ(queue.OldestAgeUs(), 40);
}

TEST_F(AdmissionQueueTest, WhoLeavesAnIdleServerEndsTheStanding) {
  AdmissionQueue queue(1'000, clock_);
  queue.SetTerms({.budget_us = 20'000, .popular_mean_us = 200, .standing_us = 0});
  for (int i = 0; i < 40; ++i) queue.Offer(MakeCall(""));
  clock_.AdvanceNanos(1'000);
  EXPECT_FALSE(queue.Offer(MakeCall("", kInteractive, 0, 1)));
  clock_.AdvanceNanos(8'000'000);
  EXPECT_TRUE(queue.Offer(MakeCall("", kInteractive, 0, 1)));
  while (queue.TryTake() != nullptr) queue.Left(kInteractive, /*idle=*/false);
  queue.Left(kInteractive, /*idle=*/true);
  EXPECT_FALSE(queue.Offer(MakeCall("", kInteractive, 0, 8'000)));
}

TEST_F(AdmissionQueueTest, AClosedQueueTakesNothingInAndHandsOutTheRest) {
  AdmissionQueue queue(3, clock_);
  queue.Offer(MakeCall("waiting"));
  queue.Close();
  const auto refusal = queue.Offer(MakeCall("late"));
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->why, Refusal::kClosed);
  EXPECT_EQ(Drained(queue), Names{"waiting"});
}

TEST_F(AdmissionQueueTest, TakeGivesUpAfterItsTimeout) {
  AdmissionQueue queue(1, clock_);
  EXPECT_EQ(queue.Take(1'000), nullptr);
  EXPECT_EQ(queue.Take(0), nullptr);
}

TEST_F(AdmissionQueueTest, CloseWakesEveryTaker) {
  AdmissionQueue queue(3, clock_);
  std::atomic<int> num_taken = 0;
  std::vector<std::thread> takers;
  for (int i = 0; i < 3; ++i) {
    queue.Offer(MakeCall(""));
    takers.emplace_back([&] {
      while (queue.Take() != nullptr) ++num_taken;
    });
  }
  // They wait by then, or are about to.
  while (num_taken < 3) std::this_thread::yield();
  for (int i = 0; i < 1'000; ++i) std::this_thread::yield();
  queue.Close();
  for (std::thread& taker : takers) taker.join();
}

TEST_F(AdmissionQueueTest, ASmallerBoundLeavesThoseWhoWait) {
  AdmissionQueue queue(3, clock_);
  queue.Offer(MakeCall("first"));
  queue.Offer(MakeCall("second"));
  queue.SetMaxSize(1);
  EXPECT_TRUE(queue.Offer(MakeCall("third")));
  EXPECT_EQ(queue.NumAhead(kBatch), 2);
}

}  // namespace
}  // namespace stepwell::front
