#include "cc/index/hnsw_index.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <tuple>

#include "cc/index/flat_index.h"
#include "gtest/gtest.h"

namespace stepwell::index {
namespace {

constexpr int64_t kDim = 32, kItems = 3'000, kQueries = 100;

// Points near a plane of 8 dimensions, as learnt embeddings are.
std::vector<float> Points(int64_t n, uint32_t seed) {
  std::mt19937 of_plane(5), generator(seed);
  std::normal_distribution<float> normal;
  std::vector<float> plane(8 * kDim), points(static_cast<size_t>(n * kDim));
  for (float& value : plane) value = normal(of_plane);
  for (int64_t row = 0; row < n; ++row) {
    float weights[8];
    for (float& weight : weights) weight = normal(generator);
    for (int64_t i = 0; i < kDim; ++i) {
      float value = 0.2f * normal(generator);
      for (int64_t j = 0; j < 8; ++j) value += weights[j] * plane[j * kDim + i];
      points[row * kDim + i] = value;
    }
  }
  return points;
}

std::vector<int64_t> Iota(int64_t n, int64_t first = 0) {
  std::vector<int64_t> ids(static_cast<size_t>(n));
  std::iota(ids.begin(), ids.end(), first);
  return ids;
}

HnswOptions Options(Metric metric = Metric::kCosine) {
  HnswOptions options;
  options.dim = kDim;
  options.metric = metric;
  options.ef_construction = 100;
  return options;
}

std::unique_ptr<HnswIndex> Built(const HnswOptions& options, int64_t n = kItems) {
  auto index = HnswIndex::Build(Points(n, 1), Iota(n), options);
  EXPECT_TRUE(index.ok()) << index.status();
  return *std::move(index);
}

double Recall(const SearchResult& found, const SearchResult& truth) {
  int64_t hits = 0, all = 0;
  for (int64_t query = 0; query < found.num_queries; ++query) {
    const auto first = truth.ids.begin() + query * truth.k;
    const auto end = first + truth.counts[query];
    all += truth.counts[query];
    for (int64_t i = 0; i < found.counts[query]; ++i) {
      hits += std::count(first, end, found.ids[query * found.k + i]);
    }
  }
  return static_cast<double>(hits) / static_cast<double>(all);
}

using Kind = std::tuple<Metric, CodeKind, bool>;

class RecallTest : public testing::TestWithParam<Kind> {};

// N = 3,000, D = 32 near 8 dimensions, 100 queries, k = 10, M = 16,
// ef_construction = 100, ef_search = 64. Without vectors int8 codes alone decide.
TEST_P(RecallTest, StaysAboveItsFloor) {
  const auto [metric, codes, keep_vectors] = GetParam();
  HnswOptions options = Options(metric);
  options.codes = codes;
  options.keep_vectors = keep_vectors;
  const std::vector<float> queries = Points(kQueries, 2);
  const SearchResult found = *Built(options)->Search(queries, 10, {});
  const auto flat = *FlatIndex::Build(Points(kItems, 1), Iota(kItems),
                                      {.dim = kDim, .metric = metric});
  const SearchResult truth = *flat->Search(queries, 10, {});
  const bool rough = !keep_vectors && codes != CodeKind::kFloat32;
  EXPECT_GE(Recall(found, truth), rough ? 0.9 : 0.985);
  // Scored by the vectors, the best has the oracle's score.
  if (!rough) {
    EXPECT_EQ(found.scores[0], truth.scores[0]);
  }
}

INSTANTIATE_TEST_SUITE_P(MetricsAndCodes, RecallTest,
                         testing::Combine(testing::Values(Metric::kInnerProduct,
                                                          Metric::kCosine, Metric::kL2),
                                          testing::Values(CodeKind::kFloat32,
                                                          CodeKind::kBfloat16,
                                                          CodeKind::kInt8),
                                          testing::Bool()));

TEST(HnswIndexTest, AReplacedItemIsFoundWhereItIsNowAndNoLongerWhereItWas) {
  const auto index = Built(Options());
  const std::vector<float> points = Points(kItems, 1), others = Points(1, 77);
  const std::vector<int64_t> id = {42};
  ASSERT_TRUE(index->Upsert(others, id).ok());
  EXPECT_EQ(index->Search(others, 1, {})->ids[0], 42);
  const auto old = absl::MakeConstSpan(points).subspan(42 * kDim, kDim);
  const SearchResult result = *index->Search(old, 10, {});
  EXPECT_LT(result.scores[0], 0.999f);
  EXPECT_EQ(index->Stats().num_items, kItems);
}

TEST(HnswIndexTest, AllDeletedLeavesAnEmptyIndexThatTakesItemsAgain) {
  const auto index = Built(Options(), 300);
  const DeleteResult deleted = *index->Delete(Iota(301));
  EXPECT_EQ(deleted.num_deleted, 300);
  EXPECT_EQ(deleted.num_unknown, 1);
  const std::vector<float> queries = Points(kQueries, 2);
  EXPECT_EQ(index->Search(queries, 5, {})->counts, std::vector<int32_t>(kQueries, 0));
  EXPECT_TRUE(index->Ids().empty());
  ASSERT_TRUE(index->Upsert(queries, Iota(kQueries)).ok());
  EXPECT_EQ(index->Search(queries, 1, {})->ids, Iota(kQueries));
}

TEST(HnswIndexTest, AnEmptyIndexTakesItsLimitFromTheFirstItems) {
  HnswOptions options = Options(Metric::kL2);
  const auto index = *HnswIndex::Build({}, {}, options);
  const std::vector<float> queries = Points(kQueries, 2);
  EXPECT_EQ(index->Search(queries, 5, {})->counts[0], 0);
  std::vector<float> large = queries;
  for (float& value : large) value *= 1'000;
  ASSERT_TRUE(index->Upsert(large, Iota(kQueries)).ok());
  EXPECT_EQ(index->Search(large, 1, {})->ids, Iota(kQueries));
}

TEST(HnswIndexTest, GrowthInManyStepsKeepsEveryItem) {
  const auto index = *HnswIndex::Build({}, {}, Options(Metric::kL2));
  const std::vector<float> points = Points(1'000, 1);
  for (int64_t at = 0; at < 1'000; at += 50) {
    // Each step is wider than the last: the limit of the codes has to follow.
    std::vector<float> step(points.begin() + at * kDim,
                            points.begin() + (at + 50) * kDim);
    for (float& value : step) value *= static_cast<float>(1 + at / 50);
    ASSERT_TRUE(index->Upsert(step, Iota(50, at)).ok());
    EXPECT_EQ(index->Search(step, 1, {})->ids, Iota(50, at));
  }
  EXPECT_EQ(index->Ids(), Iota(1'000));
}

TEST(HnswIndexTest, MoreAskedForThanThereAreGivesThemAll) {
  const auto index = Built(Options(), 50);
  const SearchResult result = *index->Search(Points(1, 2), 100, {});
  EXPECT_EQ(result.counts[0], 50);
  EXPECT_EQ(result.ids[50], -1);
}

TEST(HnswIndexTest, AnExactSearchIsTheOracles) {
  const auto index = Built(Options());
  const auto flat = *FlatIndex::Build(Points(kItems, 1), Iota(kItems),
                                      {.dim = kDim, .metric = Metric::kCosine});
  const std::vector<float> queries = Points(kQueries, 2);
  SearchOptions options;
  options.exact = true;
  const SearchResult found = *index->Search(queries, 50, options);
  const SearchResult truth = *flat->Search(queries, 50, options);
  EXPECT_EQ(found.ids, truth.ids);
  EXPECT_EQ(found.scores, truth.scores);
  EXPECT_EQ(found.strategy, SearchStrategy::kExact);
  EXPECT_EQ(found.num_exact, kQueries);
}

TEST(HnswIndexTest, ExclusionsLeaveTheNextBest) {
  const auto index = Built(Options());
  const std::vector<float> query = Points(1, 2);
  const SearchResult all = *index->Search(query, 60, {});
  const std::vector<int64_t> seen(all.ids.begin(), all.ids.begin() + 50);
  SearchOptions options;
  options.exclude_ids = seen;
  const SearchResult others = *index->Search(query, 10, options);
  EXPECT_EQ(others.ids, std::vector<int64_t>(all.ids.begin() + 50, all.ids.end()));
}

class ShareTest : public testing::TestWithParam<int64_t> {};

// One id in GetParam(), N = 3,000, k = 10, ef_search = 64.
TEST_P(ShareTest, FilteredRecallStaysAboveItsFloor) {
  const auto index = Built(Options());
  const auto flat = *FlatIndex::Build(Points(kItems, 1), Iota(kItems),
                                      {.dim = kDim, .metric = Metric::kCosine});
  IdBitmap allowed(kItems);
  for (int64_t id = 0; id < kItems; id += GetParam()) allowed.Set(id);
  SearchOptions options;
  options.allowed = &allowed;
  const std::vector<float> queries = Points(kQueries, 2);
  const SearchResult found = *index->Search(queries, 10, options);
  const SearchResult truth = *flat->Search(queries, 10, options);
  EXPECT_EQ(found.counts, truth.counts);
  EXPECT_GE(Recall(found, truth), 0.98);
}

INSTANTIATE_TEST_SUITE_P(Shares, ShareTest, testing::Values(1, 2, 10, 100, 1'000));

TEST(HnswIndexTest, VectorsAreGivenBackAsCompared) {
  const auto index = Built(Options(Metric::kL2));
  const std::vector<float> points = Points(kItems, 1);
  std::vector<float> out(2 * kDim);
  ASSERT_TRUE(index->Vectors({7, 1'000}, out.data()).ok());
  EXPECT_TRUE(std::equal(out.begin(), out.begin() + kDim, points.begin() + 7 * kDim));
  EXPECT_EQ(index->Vectors({7, kItems}, out.data()).code(),
            absl::StatusCode::kNotFound);
}

TEST(HnswIndexTest, TwoThreadsThatWriteTheSameIdsLeaveEachIdOnce) {
  const auto index = Built(Options(), 200);
  const std::vector<float> a = Points(300, 3), b = Points(300, 4);
  std::thread first([&] { ASSERT_TRUE(index->Upsert(a, Iota(300)).ok()); });
  std::thread second([&] { ASSERT_TRUE(index->Upsert(b, Iota(300)).ok()); });
  first.join();
  second.join();
  EXPECT_EQ(index->Ids(), Iota(300));
  EXPECT_EQ(index->Stats().num_items, 300);
  const SearchResult result = *index->Search(Points(1, 2), 300, {});
  const std::set<int64_t> ids(result.ids.begin(), result.ids.end());
  EXPECT_EQ(ids.size(), 300u);
  std::vector<float> out(kDim);
  ASSERT_TRUE(index->Vectors({5}, out.data()).ok());
}

TEST(HnswIndexTest, OneThreadAndOneSeedGiveTheSameAnswersHoweverTheItemsCome) {
  HnswOptions options = Options();
  options.int8_limit = 0.6f;
  options.background = false;
  const std::vector<float> points = Points(500, 1), queries = Points(kQueries, 2);
  const auto whole = *HnswIndex::Build(points, Iota(500), options);
  const auto pieces = *HnswIndex::Build({}, {}, options);
  for (int64_t at = 0; at < 500; at += 125) {
    ASSERT_TRUE(pieces
                    ->Upsert(absl::MakeConstSpan(points).subspan(at * kDim, 125 * kDim),
                             Iota(125, at))
                    .ok());
  }
  const SearchResult a = *whole->Search(queries, 10, {});
  const SearchResult b = *pieces->Search(queries, 10, {});
  EXPECT_EQ(a.ids, b.ids);
  EXPECT_EQ(a.num_distances, b.num_distances);
}

TEST(HnswIndexTest, ABuildTellsItsProgressAndStopsWhenAsked) {
  std::vector<int64_t> seen;
  const auto watch = [&](int64_t done, int64_t total) {
    EXPECT_EQ(total, 100);
    seen.push_back(done);
    return done < 40;
  };
  const auto index = HnswIndex::Build(Points(100, 1), Iota(100), Options(), watch);
  EXPECT_EQ(index.status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(seen.back(), 40);
}

TEST(HnswIndexTest, AQuarterMoreThanKIsLookedAtWhereVectorsTellMore) {
  const std::vector<float> queries = Points(kQueries, 2);
  SearchOptions narrow, wide;
  narrow.ef_search = 1;
  wide.ef_search = 50;
  for (bool keep_vectors : {true, false}) {
    HnswOptions options = Options();
    options.keep_vectors = keep_vectors;
    const auto index = Built(options);
    const int64_t least = index->Search(queries, 40, narrow)->num_distances;
    const int64_t quarter_more = index->Search(queries, 40, wide)->num_distances;
    EXPECT_EQ(least == quarter_more, keep_vectors);
  }
}

TEST(HnswIndexTest, ItemsInManySmallWritesTakeNoMoreMemoryThanInOne) {
  HnswOptions options = Options();
  options.capacity = kItems;
  options.background = false;
  const auto whole = Built(options);
  const auto parts = Built(options, 0);
  const std::vector<float> points = Points(kItems, 1);
  for (int64_t first = 0; first < kItems; first += 30) {
    const auto rows = absl::MakeConstSpan(points).subspan(first * kDim, 30 * kDim);
    ASSERT_TRUE(parts->Upsert(rows, Iota(30, first)).ok());
  }
  // The table of ids may be a quarter larger than it has to be.
  EXPECT_LE(parts->Stats().memory_bytes, whole->Stats().memory_bytes + kItems * 6);
}

TEST(HnswIndexTest, MemoryOfInt8CodesAloneIsAQuarterOfTheVectors) {
  HnswOptions options = Options();
  options.m = 2;
  const int64_t with = Built(options)->Stats().memory_bytes;
  options.keep_vectors = false;
  const int64_t without = Built(options)->Stats().memory_bytes;
  EXPECT_EQ(with - without, kItems * kDim * static_cast<int64_t>(sizeof(float)));
}

// Each bad call has one documented result, and changes nothing.
class BadCallTest : public testing::Test {
 protected:
  const std::unique_ptr<HnswIndex> index_ = Built(Options(), 100);
  const std::vector<float> good_ = Points(2, 9);

  void ExpectRefused(absl::Span<const float> vectors, absl::Span<const int64_t> ids,
                     const std::string& text) {
    const absl::Status status = index_->Upsert(vectors, ids);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_NE(status.message().find(text), std::string::npos) << status;
    EXPECT_EQ(index_->Stats().num_nodes, 100);
  }
};

TEST_F(BadCallTest, AVectorOfAnotherLengthIsRefused) {
  ExpectRefused(absl::MakeConstSpan(good_).first(kDim + 1), {500}, "vectors");
}

TEST_F(BadCallTest, ValuesThatAreNotFiniteAreRefused) {
  for (float value : {std::numeric_limits<float>::quiet_NaN(),
                      std::numeric_limits<float>::infinity()}) {
    std::vector<float> bad = good_;
    bad[kDim + 3] = value;
    ExpectRefused(bad, {500, 501}, "row 1");
    EXPECT_FALSE(index_->Search(bad, 1, {}).ok());
  }
}

TEST_F(BadCallTest, AZeroVectorHasNoCosine) {
  const std::vector<float> zero(kDim, 0.0f);
  ExpectRefused(zero, {500}, "zero");
  EXPECT_EQ(index_->Search(zero, 1, {}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(BadCallTest, AnIdTwiceInABatchIsRefused) {
  ExpectRefused(good_, {500, 500}, "twice");
}

TEST_F(BadCallTest, ANegativeIdIsRefusedAndNeverKnown) {
  ExpectRefused(good_, {500, -1}, "ids");
  EXPECT_EQ(index_->Delete({-1})->num_unknown, 1);
}

TEST_F(BadCallTest, KOutsideItsRangeIsRefused) {
  for (int64_t k : {int64_t{0}, int64_t{-1}, kMaxK + 1}) {
    EXPECT_EQ(index_->Search(good_, k, {}).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
}

TEST_F(BadCallTest, AnUnknownIdIsCountedByDelete) {
  EXPECT_EQ(index_->Delete({500})->num_unknown, 1);
}

TEST_F(BadCallTest, OptionsOutsideTheirRangesAreRefused) {
  for (auto spoil :
       {+[](HnswOptions& o) { o.dim = 0; }, +[](HnswOptions& o) { o.m = 1; },
        +[](HnswOptions& o) { o.ef_construction = 0; },
        +[](HnswOptions& o) { o.num_threads = 0; },
        +[](HnswOptions& o) { o.capacity = -1; },
        +[](HnswOptions& o) { o.int8_limit = std::nanf(""); }}) {
    HnswOptions options = Options();
    spoil(options);
    EXPECT_EQ(HnswIndex::Build({}, {}, options).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace stepwell::index
