#include <algorithm>
#include <atomic>
#include <future>
#include <memory>
#include <numeric>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "cc/base/clock.h"
#include "cc/index/flat_index.h"
#include "cc/index/hnsw_index.h"
#include "gtest/gtest.h"

namespace stepwell::index {
namespace {

constexpr int64_t kDim = 16;

std::vector<float> Vectors(int64_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<size_t>(n * kDim));
  for (float& value : values) value = normal(random);
  return values;
}

std::vector<int64_t> Ids(int64_t first, int64_t n) {
  std::vector<int64_t> ids(static_cast<size_t>(n));
  std::iota(ids.begin(), ids.end(), first);
  return ids;
}

std::unique_ptr<HnswIndex> BuiltIndex(int64_t n, bool background) {
  HnswOptions options;
  options.dim = kDim;
  options.metric = Metric::kCosine;
  options.m = 8;
  options.ef_construction = 60;
  options.background = background;
  return *HnswIndex::Build(Vectors(n, 1), Ids(0, n), options);
}

// Of the 10 best, for 50 queries at ef_search 50.
double RecallOf(const HnswIndex& index) {
  const std::vector<int64_t> ids = index.Ids();
  std::vector<float> vectors(ids.size() * kDim);
  EXPECT_TRUE(index.Vectors(ids, vectors.data()).ok());
  const auto flat = *FlatIndex::Build(vectors, ids, {kDim, Metric::kCosine});
  const std::vector<float> queries = Vectors(50, 99);
  SearchOptions options;
  options.ef_search = 50;
  const SearchResult exact = *flat->Search(queries, 10, options);
  const SearchResult found = *index.Search(queries, 10, options);
  int64_t hits = 0;
  for (int64_t query = 0; query < 50; ++query) {
    const auto first = exact.ids.begin() + query * 10;
    for (int64_t i = 0; i < found.counts[query]; ++i) {
      hits += std::count(first, first + 10, found.ids[query * 10 + i]);
    }
  }
  return static_cast<double>(hits) / 500;
}

// How many ids a search for their own vector does not give back.
int64_t CountLost(const HnswIndex& index) {
  const std::vector<int64_t> ids = index.Ids();
  std::vector<float> vectors(ids.size() * kDim);
  EXPECT_TRUE(index.Vectors(ids, vectors.data()).ok());
  SearchOptions options;
  options.ef_search = 50;
  const SearchResult found = *index.Search(vectors, 1, options);
  int64_t num_lost = 0;
  for (size_t i = 0; i < ids.size(); ++i) num_lost += found.ids[i] != ids[i];
  return num_lost;
}

TEST(HnswReclaimTest, DeletedNodesAreFreeAfterwardsAndUsedAgain) {
  const auto index = BuiltIndex(1000, false);
  ASSERT_TRUE(index->Delete(Ids(0, 300)).ok());
  EXPECT_EQ(index->Stats().num_deleted, 300);
  EXPECT_EQ(index->Stats().num_free, 0);
  ASSERT_TRUE(index->Reclaim().ok());
  EXPECT_EQ(index->Stats().num_deleted, 0);
  EXPECT_EQ(index->Stats().num_free, 300);
  EXPECT_EQ(index->Stats().num_items, 700);
  ASSERT_TRUE(index->Upsert(Vectors(300, 2), Ids(5000, 300)).ok());
  EXPECT_EQ(index->Stats().num_nodes, 1000);
  EXPECT_EQ(index->Stats().num_free, 0);
  EXPECT_EQ(CountLost(*index), 0);
}

TEST(HnswReclaimTest, ReplacedNodesAreFreeAfterwards) {
  const auto index = BuiltIndex(500, false);
  ASSERT_TRUE(index->Upsert(Vectors(200, 3), Ids(100, 200)).ok());
  EXPECT_EQ(index->Stats().num_deleted, 200);
  ASSERT_TRUE(index->Reclaim().ok());
  EXPECT_EQ(index->Stats().num_deleted, 0);
  EXPECT_EQ(index->Stats().num_items, 500);
  EXPECT_EQ(CountLost(*index), 0);
}

TEST(HnswReclaimTest, AnIndexThatLostEverythingTakesItemsAgain) {
  const auto index = BuiltIndex(500, false);
  for (int round = 0; round < 3; ++round) {
    ASSERT_TRUE(index->Delete(index->Ids()).ok());
    ASSERT_TRUE(index->Reclaim().ok());
    EXPECT_EQ(index->Stats().num_items, 0);
    // The entry stays as a dead node until there is another.
    EXPECT_EQ(index->Stats().num_deleted, 1);
    EXPECT_EQ((*index->Search(Vectors(1, 4), 5, {})).counts[0], 0);
    ASSERT_TRUE(index->Upsert(Vectors(400, 5 + round), Ids(0, 400)).ok());
    EXPECT_EQ(CountLost(*index), 0);
    ASSERT_TRUE(index->Reclaim().ok());
    EXPECT_EQ(index->Stats().num_deleted, 0);
    EXPECT_EQ(CountLost(*index), 0);
  }
}

TEST(HnswReclaimTest, NothingChangesWhereNothingWasWritten) {
  const auto index = BuiltIndex(500, true);
  const SearchResult before = *index->Search(Vectors(20, 6), 10, {});
  ASSERT_TRUE(index->Reclaim().ok());
  const SearchResult after = *index->Search(Vectors(20, 6), 10, {});
  EXPECT_EQ(before.ids, after.ids);
  EXPECT_EQ(before.num_distances, after.num_distances);
}

TEST(HnswReclaimTest, AnEmptyIndexHasNothingToReclaim) {
  EXPECT_TRUE(BuiltIndex(0, true)->Reclaim().ok());
}

TEST(HnswReclaimTest, AMappedIndexIsCopiedFirst) {
  const std::string path = testing::TempDir() + "/mapped.index";
  ASSERT_TRUE(BuiltIndex(500, false)->Save(path).ok());
  const auto index = *HnswIndex::Open(path);
  ASSERT_TRUE(index->Delete(Ids(0, 100)).ok());
  EXPECT_TRUE(index->Stats().mapped);
  ASSERT_TRUE(index->Reclaim().ok());
  EXPECT_FALSE(index->Stats().mapped);
  EXPECT_EQ(index->Stats().num_deleted, 0);
  EXPECT_EQ(index->Ids(), Ids(100, 400));
  EXPECT_EQ(CountLost(*index), 0);
}

// Stops a search at its second reading, the first in the midst of the walk, until the
// test goes on.
class HeldClock : public Clock {
 public:
  int64_t NowNanos() const override {
    if (++num_readings_ == 2) {
      reached_.set_value();
      go_on_.get_future().wait();
    }
    return 0;
  }
  void AwaitReader() { reached_.get_future().wait(); }
  void Release() { go_on_.set_value(); }

 private:
  mutable std::atomic<int> num_readings_{0};
  mutable std::promise<void> reached_, go_on_;
};

TEST(HnswReclaimTest, NoPlaceIsFreeWhileASearchOfBeforeGoesOn) {
  const auto index = BuiltIndex(500, false);
  ASSERT_TRUE(index->Delete(Ids(0, 100)).ok());
  HeldClock clock;
  SearchOptions options;
  options.clock = &clock;
  options.budget_nanos = 1'000'000;
  std::thread search(
      [&] { EXPECT_TRUE(index->Search(Vectors(1, 8), 5, options).ok()); });
  clock.AwaitReader();
  std::thread reclaim([&] { EXPECT_TRUE(index->Reclaim().ok()); });
  int64_t num_free = 0;
  for (int look = 0; look < 1000; ++look) {
    std::this_thread::yield();
    num_free = std::max(num_free, index->Stats().num_free);
  }
  clock.Release();
  search.join();
  reclaim.join();
  EXPECT_EQ(num_free, 0);
  EXPECT_EQ(index->Stats().num_free, 100);
}

// The thread needs to be asked only by writes; it is not waited for but by writers who
// are too far ahead of it.
TEST(HnswReclaimTest, TheThreadKeepsNodesAndMemoryFlatUnderChurn) {
  constexpr int64_t kItems = 4000, kBlock = 200;
  const auto index = BuiltIndex(kItems, true);
  const int64_t fresh_bytes = index->Stats().memory_bytes;
  const double fresh_recall = RecallOf(*index);
  int64_t most_nodes = 0;
  for (int64_t written = 0; written < 3 * kItems; written += kBlock) {
    ASSERT_TRUE(index->Delete(Ids(written, kBlock)).ok());
    ASSERT_TRUE(index
                    ->Upsert(Vectors(kBlock, 100 + static_cast<uint32_t>(written)),
                             Ids(kItems + written, kBlock))
                    .ok());
    most_nodes = std::max(most_nodes, index->Stats().num_nodes);
  }
  // 1024 dead ones are waited for at this size, and as many may come meanwhile.
  EXPECT_LE(most_nodes, kItems + 2 * 1024 + 2 * kBlock);
  ASSERT_TRUE(index->Reclaim().ok());
  EXPECT_EQ(index->Stats().num_deleted, 0);
  EXPECT_EQ(index->Stats().num_items, kItems);
  EXPECT_LE(index->Stats().memory_bytes, fresh_bytes * 3 / 2);
  EXPECT_EQ(CountLost(*index), 0);
  EXPECT_GE(RecallOf(*index), fresh_recall - 0.02);
}

TEST(HnswReclaimTest, AWriteIsFoundAtOnceWhileItsNeighbourhoodGoes) {
  const auto index = BuiltIndex(2000, true);
  std::thread reclaims([&] {
    for (int i = 0; i < 20; ++i) {
      ASSERT_TRUE(index->Delete(Ids(i * 100, 100)).ok());
      ASSERT_TRUE(index->Reclaim().ok());
    }
  });
  const std::vector<float> vectors = Vectors(300, 7);
  SearchOptions options;
  options.ef_search = 100;
  for (int64_t i = 0; i < 300; ++i) {
    const absl::Span<const float> vector(&vectors[i * kDim], kDim);
    ASSERT_TRUE(index->Upsert(vector, Ids(10'000 + i, 1)).ok());
    EXPECT_EQ((*index->Search(vector, 1, options)).ids[0], 10'000 + i);
  }
  reclaims.join();
}

}  // namespace
}  // namespace stepwell::index
