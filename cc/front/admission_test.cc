#include "cc/front/admission.h"

#include "cc/base/field_error.h"
#include "gtest/gtest.h"

namespace stepwell::front {
namespace {

constexpr int kInteractive = 0;
constexpr int kPrefetch = 1;
constexpr int kBatch = 2;

// 20 ms a request, 0.2 ms at the lowest tier.
constexpr AdmissionTerms kTerms{
    .budget_us = 20'000, .popular_mean_us = 200, .popular_p95_us = 200};

// A queue, as the ladder sees it, and its clock.
class AdmissionTest : public testing::Test {
 protected:
  AdmissionTest() { admission_.SetTerms(kTerms); }

  bool Admits(int64_t num_ahead, Applicant applicant = {.deadline_us = 100'000}) {
    return admission_.Admits(applicant, num_ahead, now_us_);
  }

  // Requests leave a queue that always holds others.
  void StayBusy(int64_t for_us) { Leave(kInteractive, /*idle=*/false, for_us); }

  void BeCalm(int64_t for_us, int priority = kInteractive) {
    Leave(priority, /*idle=*/true, for_us);
  }

  void Leave(int priority, bool idle, int64_t for_us) {
    for (int64_t i = 0; i < for_us / kStepUs; ++i) {
      now_us_ += kStepUs;
      admission_.Left(priority, idle, now_us_);
    }
  }

  static constexpr int64_t kStepUs = 500;

  Admission admission_{0};
  int64_t now_us_ = 0;
};

TEST_F(AdmissionTest, AdmitsUntilEvenTheLowestTierWouldBeLate) {
  EXPECT_TRUE(Admits(499));
  EXPECT_FALSE(Admits(500));
  EXPECT_TRUE(Admits(0, {.deadline_us = 200}));
  EXPECT_FALSE(Admits(0, {.deadline_us = 199}));
  EXPECT_FALSE(Admits(0, {.age_us = 1, .deadline_us = 200}));
}

TEST_F(AdmissionTest, ADeadlineThatHasPassedAtArrivalIsRefused) {
  EXPECT_FALSE(Admits(0, {.deadline_us = 0}));
  EXPECT_FALSE(Admits(0, {.deadline_us = -5}));
}

TEST_F(AdmissionTest, PushbackIsWhatTheQueueTakes) {
  EXPECT_EQ(admission_.PushbackMs(500), 100);
  EXPECT_EQ(admission_.PushbackMs(0), 1);
  AdmissionTerms terms = kTerms;
  terms.parallelism = 2;
  admission_.SetTerms(terms);
  EXPECT_EQ(admission_.PushbackMs(500), 50);
  terms.pace_us = 1'000;
  admission_.SetTerms(terms);
  EXPECT_EQ(admission_.PushbackMs(30), 30);
}

TEST_F(AdmissionTest, ABurstFillsTheQueueToTheDeadlineAStandingOneToTheBudget) {
  StayBusy(50'000);
  EXPECT_TRUE(Admits(100));
  StayBusy(100'000);
  EXPECT_FALSE(Admits(100));  // 20 ms at the lowest tier
  EXPECT_TRUE(Admits(8));
}

TEST_F(AdmissionTest, AStandingQueueRefusesTheOldWhoWouldTakeAllOfTheirBudget) {
  const Applicant old{.age_us = 18'000, .deadline_us = 100'000};
  EXPECT_TRUE(Admits(80, old));
  StayBusy(150'000);
  EXPECT_FALSE(Admits(80, old));
  EXPECT_FALSE(Admits(0, old));
}

TEST_F(AdmissionTest, WhoCanStepDownRefusesNobodyForAQueueThatStands) {
  AdmissionTerms terms = kTerms;
  terms.can_step_down = true;
  admission_.SetTerms(terms);
  StayBusy(10'000'000);
  EXPECT_TRUE(Admits(499));
  EXPECT_FALSE(Admits(500));
  admission_.SetTerms(kTerms);
  EXPECT_FALSE(Admits(100));
  // Waited for as long as it may have been, calm is soon over it.
  BeCalm(50'000);
  EXPECT_TRUE(Admits(100));
}

TEST_F(AdmissionTest, AStandingQueueIsJudgedByHalfOfTheBudget) {
  StayBusy(150'000);
  EXPECT_TRUE(Admits(49));  // 49 * 0.2 + 0.2 ms, 10 ms are allowed
  EXPECT_FALSE(Admits(50));
}

TEST_F(AdmissionTest, AStandingQueueIsJudgedByItsPaceWhereThatIsSlower) {
  AdmissionTerms terms = kTerms;
  terms.pace_us = 1'000;
  admission_.SetTerms(terms);
  StayBusy(120'000);
  EXPECT_TRUE(Admits(9));
  EXPECT_FALSE(Admits(10));
}

TEST_F(AdmissionTest, AForcedTierMayTakeAllOfItsDeadline) {
  StayBusy(150'000);
  Applicant forced{.deadline_us = 100'000, .forced = true};
  EXPECT_TRUE(Admits(499, forced));
  EXPECT_FALSE(Admits(500, forced));
}

TEST_F(AdmissionTest, AShortDeadlineIsTheBudget) {
  StayBusy(150'000);
  EXPECT_TRUE(Admits(19, {.deadline_us = 8'000}));
  EXPECT_FALSE(Admits(20, {.deadline_us = 8'000}));
}

TEST_F(AdmissionTest, CalmEndsTheStandingAndAMomentOfItDoesNot) {
  StayBusy(1'000'000);
  BeCalm(24'000);
  EXPECT_FALSE(Admits(100));
  BeCalm(2'000);
  EXPECT_TRUE(Admits(100));  // a swell again
}

TEST_F(AdmissionTest, ASwellRightAfterAFloodIsSoonAFloodAgain) {
  StayBusy(1'000'000);
  BeCalm(30'000);
  StayBusy(19'000);
  EXPECT_TRUE(Admits(100));
  StayBusy(2'000);
  EXPECT_FALSE(Admits(100));
}

TEST_F(AdmissionTest, WaitingForAnEighthOfTheBudgetIsCalm) {
  StayBusy(150'000);
  for (int i = 0; i < 30; ++i) {
    now_us_ += 1'000;
    EXPECT_TRUE(Admits(12));  // 2.4 ms: calm is up to 2.5 ms
  }
  EXPECT_TRUE(Admits(100));
  StayBusy(150'000);
  for (int i = 0; i < 30; ++i) {
    now_us_ += 1'000;
    EXPECT_TRUE(Admits(13));  // no calm
  }
  EXPECT_FALSE(Admits(100));
}

TEST_F(AdmissionTest, NobodyAheadOfAPrefetchIsNobodyAheadOfAPerson) {
  StayBusy(150'000);
  BeCalm(30'000, kPrefetch);
  EXPECT_TRUE(Admits(100, {.priority = kInteractive, .deadline_us = 100'000}));
  EXPECT_TRUE(Admits(100, {.priority = kPrefetch, .deadline_us = 100'000}));
  EXPECT_FALSE(Admits(100, {.priority = kBatch, .deadline_us = 100'000}));
}

TEST_F(AdmissionTest, APauseOfTheProcessIsNoStandingQueue) {
  admission_.Left(kInteractive, /*idle=*/true, now_us_);
  now_us_ += 5'000'000;
  EXPECT_TRUE(Admits(400));
  // Twenty such gaps are as much as counts.
  for (int i = 0; i < 18; ++i) {
    now_us_ += 5'000'000;
    EXPECT_TRUE(Admits(400)) << i;
  }
  now_us_ += 5'000'000;
  EXPECT_FALSE(Admits(400));
}

TEST_F(AdmissionTest, ThreadsAndBatchesShareTheBacklog) {
  AdmissionTerms terms = kTerms;
  terms.parallelism = 2;
  terms.batch_size = 8;
  admission_.SetTerms(terms);
  // 998 batches of 0.2 ms on two workers: 99.8 ms.
  EXPECT_TRUE(Admits(998 * 8));
  EXPECT_FALSE(Admits(998 * 8 + 1));
}

TEST(CheckTermsTest, NamesTheTermOutOfRange) {
  EXPECT_TRUE(CheckTerms({}).ok());
  EXPECT_EQ(FieldOf(CheckTerms({.budget_us = 0})), "budget_us");
  EXPECT_EQ(FieldOf(CheckTerms({.popular_mean_us = -1})), "popular_mean_us");
  EXPECT_EQ(FieldOf(CheckTerms({.popular_p95_us = 600'000'001})), "popular_p95_us");
  EXPECT_EQ(FieldOf(CheckTerms({.pace_us = -1})), "pace_us");
  EXPECT_EQ(FieldOf(CheckTerms({.parallelism = 0})), "parallelism");
  EXPECT_EQ(FieldOf(CheckTerms({.batch_size = 1025})), "batch_size");
  EXPECT_EQ(FieldOf(CheckTerms({.standing_us = -1})), "standing_us");
}

}  // namespace
}  // namespace stepwell::front
