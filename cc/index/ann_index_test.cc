// One suite for every AnnIndex: what the interface promises in C++. The wider
// suite is py/stepwell/index/conformance_test.py.
#include "cc/index/ann_index.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <numeric>
#include <random>

#include "cc/index/flat_index.h"
#include "cc/index/hnsw_index.h"
#include "gtest/gtest.h"

namespace stepwell::index {
namespace {

constexpr int64_t kDim = 16, kItems = 1'000;

std::vector<float> RandomVectors(int64_t n, uint32_t seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(n * kDim);
  for (float& value : values) value = normal(generator);
  return values;
}

std::vector<int64_t> Iota(int64_t n, int64_t first = 0) {
  std::vector<int64_t> ids(n);
  std::iota(ids.begin(), ids.end(), first);
  return ids;
}

struct Maker {
  const char* name;
  std::function<std::unique_ptr<AnnIndex>()> make;
};

std::unique_ptr<AnnIndex> MakeFlat() {
  return *FlatIndex::Build(RandomVectors(kItems, 1), Iota(kItems),
                           {.dim = kDim, .metric = Metric::kL2});
}

std::unique_ptr<AnnIndex> MakeHnsw() {
  return *HnswIndex::Build(RandomVectors(kItems, 1), Iota(kItems),
                           {.dim = kDim, .metric = Metric::kL2});
}

class AnnIndexTest : public testing::TestWithParam<Maker> {
 protected:
  const std::unique_ptr<AnnIndex> index_ = GetParam().make();
  const std::vector<float> queries_ = RandomVectors(20, 2);
};

TEST_P(AnnIndexTest, ABudgetEndsTheSearchAndTheAnswerSaysSo) {
  // Every look at the clock costs a microsecond: the budget is spent at the
  // third.
  const FakeClock clock(/*step_nanos=*/1'000);
  SearchOptions options;
  options.ef_search = kItems;
  options.clock = &clock;
  options.budget_nanos = 2'500;
  const SearchResult result = *index_->Search(queries_, 5, options);
  EXPECT_EQ(result.truncated, std::vector<uint8_t>(20, 1));
  EXPECT_GT(result.counts[0], 0);
  EXPECT_EQ(result.counts[19], 0);
  options.budget_nanos = 0;
  EXPECT_EQ(index_->Search(queries_, 5, options)->truncated,
            std::vector<uint8_t>(20, 0));
}

TEST_P(AnnIndexTest, ABudgetOfEnoughTimeChangesNothing) {
  const FakeClock clock;
  SearchOptions options;
  const SearchResult free = *index_->Search(queries_, 5, options);
  options.clock = &clock;
  options.budget_nanos = 1;
  const SearchResult limited = *index_->Search(queries_, 5, options);
  EXPECT_EQ(limited.ids, free.ids);
  EXPECT_EQ(limited.truncated, free.truncated);
}

TEST_P(AnnIndexTest, FiltersExclusionsAndTombstonesWorkTogether) {
  IdBitmap allowed(kItems);
  for (int64_t id = 0; id < 10; ++id) allowed.Set(id);
  ASSERT_TRUE(index_->Delete(Iota(3)).ok());
  const std::vector<int64_t> excluded = {9, 5, 5'000};
  SearchOptions options;
  options.allowed = &allowed;
  options.exclude_ids = excluded;
  const SearchResult result =
      *index_->Search(absl::MakeConstSpan(queries_).first(kDim), 10, options);
  std::vector<int64_t> ids(result.ids.begin(), result.ids.begin() + result.counts[0]);
  std::sort(ids.begin(), ids.end());
  EXPECT_EQ(ids, (std::vector<int64_t>{3, 4, 6, 7, 8}));
}

TEST_P(AnnIndexTest, QueriesThatDoNotFillARowAreRefused) {
  const auto result =
      index_->Search(absl::MakeConstSpan(queries_).first(kDim + 1), 1, {});
  EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_P(AnnIndexTest, AVectorWhoseSquareOverflowsIsRefused) {
  std::vector<float> huge(kDim, 1e30f);
  EXPECT_EQ(index_->Upsert(huge, Iota(1)).code(), absl::StatusCode::kInvalidArgument);
}

TEST_P(AnnIndexTest, MemoryGrowsWithTheItems) {
  const int64_t before = index_->Stats().memory_bytes;
  EXPECT_GE(before, kItems * kDim * static_cast<int64_t>(sizeof(float)));
  ASSERT_TRUE(
      index_->Upsert(RandomVectors(3 * kItems, 4), Iota(3 * kItems, kItems)).ok());
  EXPECT_GE(index_->Stats().memory_bytes, 3 * before);
}

INSTANTIATE_TEST_SUITE_P(Indexes, AnnIndexTest,
                         testing::Values(Maker{"Flat", MakeFlat},
                                         Maker{"Hnsw", MakeHnsw}),
                         [](const auto& info) { return info.param.name; });

double Recall(const SearchResult& found, const SearchResult& truth) {
  int64_t hits = 0;
  for (int64_t query = 0; query < found.num_queries; ++query) {
    const auto first = truth.ids.begin() + query * truth.k;
    for (int64_t i = 0; i < found.k; ++i) {
      hits += std::count(first, first + truth.k, found.ids[query * found.k + i]);
    }
  }
  return static_cast<double>(hits) / static_cast<double>(found.ids.size());
}

// N = 1,000, D = 16, seeds 1 and 2, k = 10, M = 16, ef_construction = 200.
TEST(HnswIndexTest, RecallAgainstTheOracleIsAbove99Percent) {
  const SearchResult found = *MakeHnsw()->Search(RandomVectors(100, 2), 10, {});
  const SearchResult truth = *MakeFlat()->Search(RandomVectors(100, 2), 10, {});
  EXPECT_GE(Recall(found, truth), 0.99);
}

TEST(HnswIndexTest, ScoresEqualTheOraclesBitForBit) {
  SearchOptions options;
  options.ef_search = kItems;
  const std::vector<float> queries = RandomVectors(10, 3);
  const SearchResult found = *MakeHnsw()->Search(queries, 10, options);
  const SearchResult truth = *MakeFlat()->Search(queries, 10, options);
  EXPECT_EQ(found.ids, truth.ids);
  EXPECT_EQ(found.scores, truth.scores);
}

TEST(HnswIndexTest, ItemsStayReachableWhenHalfAreDeletedAndOthersAdded) {
  const std::unique_ptr<AnnIndex> index = MakeHnsw();
  ASSERT_TRUE(index->Delete(Iota(kItems / 2)).ok());
  const std::vector<float> added = RandomVectors(kItems, 9);
  ASSERT_TRUE(index->Upsert(added, Iota(kItems, kItems)).ok());
  const SearchResult result = *index->Search(added, 1, {});
  int64_t found = 0;
  for (int64_t i = 0; i < kItems; ++i) found += result.ids[i] == kItems + i;
  EXPECT_GE(found, kItems * 99 / 100);
}

TEST(HnswIndexTest, AThreadedBuildHoldsEveryItemAndIsAsGood) {
  HnswOptions options{.dim = kDim, .metric = Metric::kL2};
  options.num_threads = 4;
  const auto index = *HnswIndex::Build(RandomVectors(kItems, 1), Iota(kItems), options);
  const SearchResult found = *index->Search(RandomVectors(100, 2), 10, {});
  const SearchResult truth = *MakeFlat()->Search(RandomVectors(100, 2), 10, {});
  EXPECT_EQ(index->Stats().num_items, kItems);
  EXPECT_GE(Recall(found, truth), 0.99);
}

}  // namespace
}  // namespace stepwell::index
