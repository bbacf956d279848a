#include "cc/index/hnsw_graph.h"

#include <algorithm>
#include <memory>
#include <random>
#include <set>
#include <thread>

#include "gtest/gtest.h"

namespace stepwell::index {
namespace {

constexpr int64_t kDim = 24, kM = 8;

std::vector<float> RandomVectors(int64_t n, uint32_t seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<size_t>(n * kDim));
  for (float& value : values) value = normal(generator);
  return values;
}

// Nodes 0 .. n - 1 written and not yet linked.
std::unique_ptr<HnswGraph> UnlinkedGraph(const std::vector<float>& vectors,
                                         CodeKind kind, uint64_t seed = 7) {
  const auto n = static_cast<int64_t>(vectors.size()) / kDim;
  const float limit = VectorCodec::LimitFor(vectors, kDim, Metric::kL2);
  const VectorCodec codec(kind, Metric::kL2, kDim, limit);
  auto storage = std::make_unique<GraphStorage>(
      GraphShape{.dim = kDim, .m = kM, .seed = seed, .codec = codec}, n);
  storage->AppendNodes(n);
  for (uint32_t node = 0; node < n; ++node) {
    storage->WriteItem(node, &vectors[node * kDim], node);
    storage->set_hidden(node, false);
  }
  return std::make_unique<HnswGraph>(std::move(storage), /*ef_construction=*/100);
}

std::unique_ptr<HnswGraph> LinkedGraph(const std::vector<float>& vectors, CodeKind kind,
                                       int num_threads = 1, uint64_t seed = 7) {
  auto graph = UnlinkedGraph(vectors, kind, seed);
  const auto n = static_cast<uint32_t>(graph->storage().num_nodes());
  std::vector<std::thread> threads;
  for (int thread = 0; thread < num_threads; ++thread) {
    threads.emplace_back([&, thread] {
      WalkScratch scratch;
      for (uint32_t node = thread; node < n; node += num_threads) {
        graph->Insert(node, scratch);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return graph;
}

std::vector<uint32_t> Nearest(const GraphStorage& storage, const float* query,
                              size_t k) {
  std::vector<NodeDistance> all;
  for (uint32_t node = 0; node < storage.num_nodes(); ++node) {
    float distance = 0;
    for (int64_t i = 0; i < kDim; ++i) {
      const float difference = query[i] - storage.vector(node)[i];
      distance += difference * difference;
    }
    all.push_back({distance, node});
  }
  std::sort(all.begin(), all.end());
  std::vector<uint32_t> nodes;
  for (size_t i = 0; i < k; ++i) nodes.push_back(all[i].node);
  return nodes;
}

double Recall(const HnswGraph& graph, size_t ef, size_t k) {
  const std::vector<float> queries = RandomVectors(50, 99);
  WalkScratch scratch;
  SearchBudget budget({});
  size_t hits = 0;
  for (size_t at = 0; at < queries.size(); at += kDim) {
    scratch.Begin(graph.storage());
    graph.storage().codec().EncodeQuery(&queries[at], scratch.CodedQuery());
    graph.WalkAll(scratch.CodedQuery(), ef, budget, scratch);
    std::set<uint32_t> found;
    for (const NodeDistance& node : scratch.found) found.insert(node.node);
    for (uint32_t node : Nearest(graph.storage(), &queries[at], k)) {
      hits += found.count(node);
    }
  }
  return static_cast<double>(hits) / static_cast<double>(50 * k);
}

class CodesTest : public testing::TestWithParam<CodeKind> {};

// N = 3,000, D = 24, seeds 1 and 99, M = 8, ef_construction = 100, ef = 100.
TEST_P(CodesTest, AWalkMeetsTheTenNearestOfEachQuery) {
  const auto graph = LinkedGraph(RandomVectors(3'000, 1), GetParam());
  EXPECT_GE(Recall(*graph, 100, 10), 0.97);
}

INSTANTIATE_TEST_SUITE_P(Kinds, CodesTest,
                         testing::Values(CodeKind::kFloat32, CodeKind::kBfloat16,
                                         CodeKind::kInt8));

TEST(HnswGraphTest, ThreadsBuildAGraphThatIsAsGood) {
  const auto graph = LinkedGraph(RandomVectors(3'000, 1), CodeKind::kInt8, 4);
  EXPECT_GE(Recall(*graph, 100, 10), 0.97);
}

std::vector<uint32_t> AllLinks(const HnswGraph& graph) {
  std::vector<uint32_t> links;
  const GraphStorage& storage = graph.storage();
  for (uint32_t node = 0; node < storage.num_nodes(); ++node) {
    for (int level = 0; level <= storage.level(node); ++level) {
      const uint32_t* list = storage.links(node, level);
      links.insert(links.end(), list, list + storage.list_size(level));
    }
  }
  return links;
}

TEST(HnswGraphTest, OneThreadAndOneSeedGiveOneGraph) {
  const std::vector<float> vectors = RandomVectors(500, 1);
  const auto links = AllLinks(*LinkedGraph(vectors, CodeKind::kInt8));
  EXPECT_EQ(AllLinks(*LinkedGraph(vectors, CodeKind::kInt8)), links);
  EXPECT_NE(AllLinks(*LinkedGraph(vectors, CodeKind::kInt8, 1, 8)), links);
}

TEST(HnswGraphTest, EveryLinkLeadsToANodeOfThatLevelOnceAndNotToItself) {
  const auto graph = LinkedGraph(RandomVectors(2'000, 1), CodeKind::kInt8, 2);
  const GraphStorage& storage = graph->storage();
  for (uint32_t node = 0; node < storage.num_nodes(); ++node) {
    for (int level = 0; level <= storage.level(node); ++level) {
      const uint32_t* list = storage.links(node, level);
      std::set<uint32_t> seen = {node};
      for (int64_t i = 0; i < storage.list_size(level) && list[i] != kNoNode; ++i) {
        ASSERT_LT(list[i], storage.num_nodes());
        ASSERT_GE(storage.level(list[i]), level);
        ASSERT_TRUE(seen.insert(list[i]).second) << node << " on " << level;
      }
    }
  }
}

TEST(HnswGraphTest, NoInsertLinksToADoomedNode) {
  const auto graph = UnlinkedGraph(RandomVectors(600, 1), CodeKind::kInt8);
  WalkScratch scratch;
  for (uint32_t node = 0; node < 500; ++node) graph->Insert(node, scratch);
  for (uint32_t node = 100; node < 400; ++node) graph->set_doomed(node, true);
  for (uint32_t node = 500; node < 600; ++node) graph->Insert(node, scratch);
  for (uint32_t node = 500; node < 600; ++node) {
    const uint32_t* list = graph->storage().links(node, 0);
    EXPECT_NE(list[0], kNoNode);
    for (int64_t i = 0; i < 2 * kM && list[i] != kNoNode; ++i) {
      EXPECT_FALSE(graph->doomed(list[i]));
    }
  }
}

// 1,000 doomed nodes around 100 new ones: more than a walk of ef_construction meets.
TEST(HnswGraphTest, NewNodesHangTogetherWhereAllOthersAreDoomed) {
  const auto graph = UnlinkedGraph(RandomVectors(1'100, 1), CodeKind::kInt8);
  WalkScratch scratch;
  for (uint32_t node = 0; node < 1'000; ++node) graph->Insert(node, scratch);
  const uint32_t entry = graph->entry().node;
  for (uint32_t node = 0; node < 1'000; ++node) graph->set_doomed(node, node != entry);
  for (uint32_t node = 1'000; node < 1'100; ++node) graph->Insert(node, scratch);
  const GraphStorage& storage = graph->storage();
  std::set<uint32_t> seen = {1'000};
  std::vector<uint32_t> left = {1'000};
  while (!left.empty()) {
    const uint32_t* list = storage.links(left.back(), 0);
    left.pop_back();
    for (int64_t i = 0; i < 2 * kM && list[i] != kNoNode; ++i) {
      if (list[i] >= 1'000 && seen.insert(list[i]).second) left.push_back(list[i]);
    }
  }
  EXPECT_EQ(seen.size(), 100u);
}

TEST(HnswGraphTest, AFullListTakesANearerNodeFirst) {
  const auto graph = UnlinkedGraph(RandomVectors(200, 1), CodeKind::kFloat32);
  const GraphStorage& storage = graph->storage();
  std::vector<NodeDistance> all;
  for (uint32_t node = 1; node < 200; ++node) {
    all.push_back({storage.codec().Pair(storage.code(0), storage.code(node)), node});
  }
  std::sort(all.begin(), all.end());
  graph->WriteLinks(0, 0, absl::MakeConstSpan(all).subspan(100, 2 * kM));
  EXPECT_TRUE(graph->AddLink(0, 0, all[0]));
  EXPECT_EQ(storage.links(0, 0)[0], all[0].node);
}

TEST(HnswGraphTest, AStorageThatGrewHoldsTheSameGraph) {
  const auto graph = LinkedGraph(RandomVectors(500, 1), CodeKind::kInt8);
  const auto links = AllLinks(*graph);
  const GraphStorage& old = graph->storage();
  auto larger = GraphStorage::Grown(old, 2'000, old.codec());
  larger->AppendNodes(1);
  EXPECT_EQ(larger->label(500), kNoLabel);
  EXPECT_TRUE(larger->hidden(500));
  const auto replaced = graph->Exchange(std::move(larger));
  EXPECT_EQ(graph->storage().capacity(), 2'000);
  EXPECT_EQ(graph->storage().label(499), 499);
  auto same = AllLinks(*graph);
  same.resize(links.size());
  EXPECT_EQ(same, links);
}

TEST(HnswGraphTest, AnEmptyGraphFindsNothing) {
  const auto graph = UnlinkedGraph({}, CodeKind::kInt8);
  WalkScratch scratch;
  scratch.Begin(graph->storage());
  SearchBudget budget({});
  EXPECT_FALSE(graph->WalkAll(scratch.CodedQuery(), 10, budget, scratch));
  EXPECT_TRUE(scratch.found.empty());
}

}  // namespace
}  // namespace stepwell::index
