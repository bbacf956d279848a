// A table of cases: what is known before a search, and how it is answered.
#include "cc/index/search_plan.h"

#include "gtest/gtest.h"

namespace stepwell::index {
namespace {

constexpr int64_t kMillion = 1'000'000;

SearchCase Filtered(int64_t num_matches) {
  return {.num_nodes = kMillion,
          .num_items = kMillion,
          .num_matches = num_matches,
          .ef = 200,
          .k = 100,
          .has_filter = true};
}

SearchCase Unfiltered(int64_t num_items, int64_t num_excluded) {
  return {.num_nodes = kMillion,
          .num_items = num_items,
          .num_excluded = num_excluded,
          .ef = 200,
          .k = 100};
}

TEST(SearchPlanTest, WithoutFilterTheGraphIsWalkedAtTheWidthAskedFor) {
  const SearchPlan plan = ChoosePlan(Unfiltered(kMillion, 0));
  EXPECT_EQ(plan.strategy, SearchStrategy::kGraph);
  EXPECT_EQ(plan.width, 200);
}

TEST(SearchPlanTest, HiddenNodesWidenTheWalk) {
  const SearchPlan plan = ChoosePlan(Unfiltered(kMillion / 2, 0));
  EXPECT_EQ(plan.strategy, SearchStrategy::kGraph);
  EXPECT_GE(plan.width, 400);
  EXPECT_LE(plan.width, 500);
}

TEST(SearchPlanTest, TheFewerMatchTheMoreIsCompared) {
  const auto strategy = [](double share) {
    return ChoosePlan(Filtered(static_cast<int64_t>(share * kMillion))).strategy;
  };
  EXPECT_EQ(strategy(0.9), SearchStrategy::kWiderGraph);
  EXPECT_EQ(strategy(0.5), SearchStrategy::kWiderGraph);
  EXPECT_EQ(strategy(0.2), SearchStrategy::kFilteredGraph);
  EXPECT_EQ(strategy(0.01), SearchStrategy::kExact);
  EXPECT_EQ(strategy(0.0001), SearchStrategy::kExact);
  EXPECT_EQ(strategy(0), SearchStrategy::kExact);
}

TEST(SearchPlanTest, ASetThatNamesMoreIdsThanThereAreItemsForbidsNothing) {
  const SearchPlan plan = ChoosePlan(Filtered(5 * kMillion));
  EXPECT_EQ(plan.strategy, SearchStrategy::kWiderGraph);
  EXPECT_EQ(plan.width, 200);
}

TEST(SearchPlanTest, FewExclusionsWidenTheWalkAndManyAreTestedOnTheWay) {
  const SearchPlan few = ChoosePlan(Unfiltered(kMillion, 20));
  EXPECT_EQ(few.strategy, SearchStrategy::kWiderGraph);
  EXPECT_EQ(few.width, 220);
  const SearchPlan many = ChoosePlan(Unfiltered(kMillion, 3'000));
  EXPECT_EQ(many.strategy, SearchStrategy::kFilteredGraph);
  EXPECT_EQ(many.width, 200);
}

TEST(SearchPlanTest, AFilteredWalkIsGivenUpBeforeItCostsMoreThanTheScan) {
  for (double share : {0.05, 0.1, 0.2, 0.5, 0.9}) {
    const auto matches = static_cast<int64_t>(share * kMillion);
    const SearchPlan plan = ChoosePlan(Filtered(matches));
    if (plan.strategy == SearchStrategy::kExact) continue;
    EXPECT_GT(plan.max_distances, plan.width);
    EXPECT_LT(plan.max_distances, matches + kMillion / 10);
  }
}

TEST(SearchPlanTest, TheWidthIsNeverBelowKNorAboveTheNodes) {
  SearchCase search = Filtered(kMillion / 2);
  search.ef = 10;
  EXPECT_GE(ChoosePlan(search).width, 100);
  search = Unfiltered(300, 250);
  search.num_nodes = 400;
  EXPECT_LE(ChoosePlan(search).width, 400);
}

TEST(SearchPlanTest, AnEmptyIndexHasAPlanToo) {
  SearchCase search{.ef = 200, .k = 100};
  EXPECT_EQ(ChoosePlan(search).strategy, SearchStrategy::kGraph);
  search.has_filter = true;
  EXPECT_EQ(ChoosePlan(search).strategy, SearchStrategy::kExact);
  search = Unfiltered(0, 0);
  EXPECT_EQ(ChoosePlan(search).strategy, SearchStrategy::kGraph);
}

}  // namespace
}  // namespace stepwell::index
