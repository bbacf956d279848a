#include "cc/index/search_pool.h"

#include <random>
#include <set>

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

TEST(SearchPoolTest, HoldsTheSmallestOfAnyStreamWhateverIsTakenBetween) {
  std::mt19937 generator(1);
  std::uniform_real_distribution<float> uniform;
  SearchPool pool;
  for (size_t limit : {1, 2, 17, 64}) {
    pool.Start(limit);
    std::multiset<float> all;
    for (uint32_t node = 0; node < 500; ++node) {
      const float distance = uniform(generator);
      pool.Offer({distance, node});
      all.insert(distance);
      uint32_t taken;
      if (node % 3 == 0) pool.Next(taken);
    }
    std::vector<NodeDistance> kept;
    pool.CopyTo(kept);
    ASSERT_EQ(kept.size(), limit);
    auto expected = all.begin();
    for (const NodeDistance& entry : kept) {
      EXPECT_EQ(entry.distance, *expected++);
      EXPECT_LT(entry.node, 500u);
    }
  }
}

}  // namespace
}  // namespace stepwell::index
