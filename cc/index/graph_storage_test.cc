#include "cc/index/graph_storage.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "gtest/gtest.h"

namespace stepwell::index {
namespace {

constexpr int64_t kDim = 8;

GraphShape Shape(CodeKind kind = CodeKind::kInt8, int64_t m = 4) {
  return {.dim = kDim, .m = m, .seed = 3, .codec = {kind, Metric::kL2, kDim, 2.0f}};
}

std::vector<float> Vector(float first) {
  std::vector<float> vector(kDim, 0.5f);
  vector[0] = first;
  return vector;
}

TEST(GraphStorageTest, NewNodesAreHiddenWithoutLabelAndLinks) {
  GraphStorage storage(Shape(), 100);
  EXPECT_EQ(storage.AppendNodes(60), 0u);
  EXPECT_EQ(storage.AppendNodes(40), 60u);
  EXPECT_EQ(storage.num_nodes(), 100);
  for (uint32_t node = 0; node < 100; ++node) {
    EXPECT_TRUE(storage.hidden(node));
    EXPECT_EQ(storage.label(node), kNoLabel);
    for (int level = 0; level <= storage.level(node); ++level) {
      const uint32_t* links = storage.links(node, level);
      EXPECT_EQ(std::count(links, links + storage.list_size(level), kNoNode),
                storage.list_size(level));
    }
  }
}

TEST(GraphStorageTest, ANodesLevelDependsOnSeedAndNumberAlone) {
  GraphStorage at_once(Shape(), 500), by_one(Shape(), 500);
  at_once.AppendNodes(500);
  for (int i = 0; i < 500; ++i) by_one.AppendNodes(1);
  for (uint32_t node = 0; node < 500; ++node) {
    EXPECT_EQ(at_once.level(node), by_one.level(node));
  }
}

// 100,000 nodes, M = 4: a share of 1/4 above level 0, a quarter of those above 1.
TEST(GraphStorageTest, LevelsThinOutByM) {
  GraphStorage storage(Shape(), 100'000);
  storage.AppendNodes(100'000);
  int64_t above[3] = {0, 0, 0};
  for (uint32_t node = 0; node < 100'000; ++node) {
    for (int level = 0; level < 3; ++level) above[level] += storage.level(node) > level;
  }
  EXPECT_NEAR(above[0], 25'000, 600);
  EXPECT_NEAR(above[1], 6'250, 350);
  EXPECT_NEAR(above[2], 1'562, 180);
}

TEST(GraphStorageTest, ListsOfAllNodesAndLevelsAreApart) {
  GraphStorage storage(Shape(), 200);
  storage.AppendNodes(200);
  std::vector<std::pair<uint32_t*, uint32_t>> written;
  uint32_t value = 0;
  for (uint32_t node = 0; node < 200; ++node) {
    for (int level = 0; level <= storage.level(node); ++level) {
      for (int64_t i = 0; i < storage.list_size(level); ++i) {
        uint32_t* place = storage.mutable_links(node, level) + i;
        StoreLink(place, value);
        written.emplace_back(place, value++);
      }
    }
  }
  for (const auto& [place, expected] : written) ASSERT_EQ(LoadLink(place), expected);
}

TEST(GraphStorageTest, HighLevelsOfAFileHaveRoom) {
  GraphStorage storage(Shape(), 50);
  storage.AppendNodes(10);
  const std::vector<uint8_t> levels(20, kMaxLevel);
  storage.AppendNodes(levels);
  storage.AppendNodes(20);
  StoreLink(storage.mutable_links(29, kMaxLevel), 5);
  EXPECT_EQ(storage.links(29, kMaxLevel)[0], 5u);
  EXPECT_EQ(storage.level(15), kMaxLevel);
}

TEST(GraphStorageTest, AnItemIsWhatWasWritten) {
  GraphStorage storage(Shape(), 10);
  storage.AppendNodes(10);
  const std::vector<float> vector = Vector(1.25f);
  storage.WriteItem(7, vector.data(), 99);
  EXPECT_EQ(storage.label(7), 99);
  EXPECT_TRUE(std::equal(vector.begin(), vector.end(), storage.vector(7)));
  std::vector<float> decoded(kDim);
  storage.codec().Decode(storage.code(7), decoded.data());
  EXPECT_NEAR(decoded[0], 1.25f, 2.0f / 127);
}

TEST(GraphStorageTest, Float32CodesAreTheVectors) {
  GraphStorage storage(Shape(CodeKind::kFloat32), 10);
  storage.AppendNodes(10);
  const std::vector<float> vector = Vector(1.25f);
  storage.WriteItem(3, vector.data(), 99);
  EXPECT_TRUE(std::equal(vector.begin(), vector.end(), storage.vector(3)));
  EXPECT_FALSE(storage.shape().keep_vectors);
}

TEST(GraphStorageTest, WithoutVectorsThereAreCodesOnly) {
  GraphShape shape = Shape();
  shape.keep_vectors = false;
  GraphStorage storage(shape, 10);
  storage.AppendNodes(10);
  EXPECT_EQ(storage.vector(0), nullptr);
  EXPECT_EQ(storage.vectors().base, nullptr);
}

class GrownTest : public testing::TestWithParam<bool> {};

TEST_P(GrownTest, KeepsEverythingAndMakesCodesOfTheNewLimit) {
  GraphShape shape = Shape();
  shape.keep_vectors = GetParam();
  GraphStorage storage(shape, 70);
  storage.AppendNodes(70);
  for (uint32_t node = 0; node < 70; ++node) {
    storage.WriteItem(node, Vector(0.02f * static_cast<float>(node)).data(), node);
    StoreLink(storage.mutable_links(node, storage.level(node)), (node + 1) % 70);
  }
  storage.set_hidden(69, false);
  const VectorCodec wider(CodeKind::kInt8, Metric::kL2, kDim, 4.0f);
  const auto grown = GraphStorage::Grown(storage, 200, wider);
  EXPECT_EQ(grown->capacity(), 200);
  EXPECT_EQ(grown->num_nodes(), 70);
  EXPECT_EQ(grown->num_upper_lists(), storage.num_upper_lists());
  EXPECT_FALSE(grown->hidden(69));
  EXPECT_TRUE(grown->hidden(68));
  std::vector<float> decoded(kDim);
  for (uint32_t node = 0; node < 70; ++node) {
    EXPECT_EQ(grown->label(node), node);
    EXPECT_EQ(grown->level(node), storage.level(node));
    EXPECT_EQ(grown->links(node, grown->level(node))[0], (node + 1) % 70);
    wider.Decode(grown->code(node), decoded.data());
    EXPECT_NEAR(decoded[0], 0.02f * static_cast<float>(node), 4.0f / 127);
  }
  // Further nodes have the levels that they would have had anyway.
  GraphStorage other(shape, 200);
  other.AppendNodes(200);
  grown->AppendNodes(130);
  for (uint32_t node = 0; node < 200; ++node) {
    EXPECT_EQ(grown->level(node), other.level(node));
  }
}

INSTANTIATE_TEST_SUITE_P(KeepsVectors, GrownTest, testing::Bool());

TEST(GraphStorageTest, MemoryIsOfTheNodesInUse) {
  GraphStorage storage(Shape(), 1'000'000);
  EXPECT_EQ(storage.MemoryBytes(), 0);
  storage.AppendNodes(1);
  const int64_t one = storage.MemoryBytes();
  // Code, vector, links, label, level, start of its upper lists.
  EXPECT_GE(one, kDim + 4 * kDim + 4 * 8 + 8 + 1 + 4);
  EXPECT_LT(one, 512);
}

}  // namespace
}  // namespace stepwell::index
