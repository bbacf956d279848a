#include "cc/index/search_pool.h"

#include <algorithm>
#include <limits>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace stepwell::index {
namespace {

std::vector<uint32_t> TakeAll(SearchPool& pool) {
  std::vector<uint32_t> nodes;
  for (uint32_t node; pool.Next(node);) nodes.push_back(node);
  return nodes;
}

TEST(SearchPoolTest, NodesAreTakenNearestFirstAndOnce) {
  SearchPool pool;
  pool.Start(4);
  for (uint32_t node : {3, 1, 2}) pool.Offer({static_cast<float>(node), node});
  EXPECT_EQ(TakeAll(pool), (std::vector<uint32_t>{1, 2, 3}));
  EXPECT_TRUE(TakeAll(pool).empty());
}

TEST(SearchPoolTest, ANearerNodeThatComesLateIsTakenNext) {
  SearchPool pool;
  pool.Start(4);
  uint32_t node;
  pool.Offer({5, 50});
  ASSERT_TRUE(pool.Next(node));
  pool.Offer({7, 70});
  pool.Offer({1, 10});
  EXPECT_EQ(TakeAll(pool), (std::vector<uint32_t>{10, 70}));
}

TEST(SearchPoolTest, AFullPoolDropsTheFarthest) {
  SearchPool pool;
  pool.Start(2);
  for (uint32_t node : {9, 4, 6, 8, 5}) pool.Offer({static_cast<float>(node), node});
  std::vector<NodeDistance> kept;
  pool.CopyTo(kept);
  ASSERT_EQ(kept.size(), 2u);
  EXPECT_EQ(kept[0].node, 4u);
  EXPECT_EQ(kept[1].node, 5u);
}

// The same by the plainest means: a sorted array.
class PlainPool {
 public:
  explicit PlainPool(size_t limit) : limit_(limit) {}

  void Offer(NodeDistance offered) {
    const auto at = std::upper_bound(
        entries_.begin(), entries_.end(), offered.distance,
        [](float distance, const Entry& entry) { return distance < entry.distance; });
    entries_.insert(at, {offered.distance, offered.node, false});
    if (entries_.size() > limit_) entries_.pop_back();
  }

  bool Next(uint32_t& node) {
    for (Entry& entry : entries_) {
      if (entry.taken) continue;
      entry.taken = true;
      node = entry.node;
      return true;
    }
    return false;
  }

  std::vector<uint32_t> Nodes() const {
    std::vector<uint32_t> nodes;
    for (const Entry& entry : entries_) nodes.push_back(entry.node);
    return nodes;
  }

 private:
  struct Entry {
    float distance;
    uint32_t node;
    bool taken;
  };

  size_t limit_;
  std::vector<Entry> entries_;
};

class SearchPoolStreamTest : public testing::TestWithParam<size_t> {};

TEST_P(SearchPoolStreamTest, BehavesAsASortedArrayOnAnyStream) {
  const size_t limit = GetParam();
  std::mt19937 generator(static_cast<uint32_t>(limit));
  SearchPool pool;
  pool.Start(3 * limit + 1);  // leaves blocks of another size behind
  for (uint32_t i = 0; i < 5 * limit; ++i) pool.Offer({static_cast<float>(i % 71), i});
  // Few values, so that many distances are equal; then more than the pool ever needs.
  for (uint32_t num_values : {7u, 1000u, 1000000u}) {
    pool.Start(limit);
    PlainPool plain(limit);
    for (uint32_t node = 0; node < 4000; ++node) {
      const auto distance = static_cast<float>(generator() % num_values) - 3;
      pool.Offer({distance, node});
      plain.Offer({distance, node});
      if (generator() % 3 != 0) continue;
      uint32_t taken = 0, expected = 0;
      ASSERT_EQ(pool.Next(taken), plain.Next(expected));
      ASSERT_EQ(taken, expected);
    }
    std::vector<NodeDistance> kept;
    pool.CopyTo(kept);
    std::vector<uint32_t> nodes;
    for (const NodeDistance& entry : kept) nodes.push_back(entry.node);
    ASSERT_EQ(nodes, plain.Nodes());
    ASSERT_EQ(pool.bound(), kept.back().distance);
  }
}

INSTANTIATE_TEST_SUITE_P(Limits, SearchPoolStreamTest,
                         testing::Values(1, 2, 31, 32, 33, 63, 64, 65, 200, 1600));

TEST(SearchPoolTest, DescendingAndAscendingStreamsFillEveryBlock) {
  for (bool ascending : {false, true}) {
    SearchPool pool;
    pool.Start(1000);
    for (uint32_t node = 0; node < 3000; ++node) {
      const auto distance = static_cast<float>(node);
      pool.Offer({ascending ? distance : -distance, node});
    }
    const std::vector<uint32_t> nodes = TakeAll(pool);
    ASSERT_EQ(nodes.size(), 1000u);
    EXPECT_EQ(nodes.front(), ascending ? 0u : 2999u);
    EXPECT_EQ(nodes.back(), ascending ? 999u : 2000u);
  }
}

TEST(SearchPoolTest, InfiniteDistancesAreKeptWhileThereIsRoomAndDroppedFirst) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  SearchPool pool;
  pool.Start(100);
  for (uint32_t node = 0; node < 99; ++node) pool.Offer({kInfinity, node});
  pool.Offer({1, 1000});
  pool.Offer({2, 2000});
  pool.Offer({kInfinity, 3000});
  const std::vector<uint32_t> nodes = TakeAll(pool);
  ASSERT_EQ(nodes.size(), 100u);
  EXPECT_EQ(nodes[0], 1000u);
  EXPECT_EQ(nodes[1], 2000u);
  EXPECT_EQ(nodes.back(), 97u);
}

}  // namespace
}  // namespace stepwell::index
