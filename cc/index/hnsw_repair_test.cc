#include "cc/index/hnsw_repair.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace stepwell::index {
namespace {

constexpr int64_t kDim = 16, kM = 8;

// Points around a few centres, so that a region can go as a whole.
std::vector<float> ClusteredVectors(int64_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> centres(20 * kDim), values(static_cast<size_t>(n * kDim));
  for (float& value : centres) value = 2 * normal(random);
  for (size_t i = 0; i < values.size(); ++i) {
    const size_t cluster = i / kDim % 20;
    values[i] = centres[cluster * kDim + i % kDim] + normal(random);
  }
  return values;
}

std::unique_ptr<HnswGraph> GraphOf(const std::vector<float>& vectors) {
  const auto n = static_cast<int64_t>(vectors.size()) / kDim;
  const VectorCodec codec(CodeKind::kFloat32, Metric::kL2, kDim, 1);
  auto storage = std::make_unique<GraphStorage>(
      GraphShape{.dim = kDim, .m = kM, .seed = 5, .codec = codec}, n);
  storage->AppendNodes(n);
  auto graph = std::make_unique<HnswGraph>(std::move(storage), /*ef_construction=*/80);
  WalkScratch scratch;
  for (uint32_t node = 0; node < n; ++node) {
    graph->storage().WriteItem(node, &vectors[node * kDim], node);
    graph->storage().set_hidden(node, false);
    graph->Insert(node, scratch);
  }
  return graph;
}

// Hides the nodes and dooms them; the repair that did it.
HnswRepair Doom(HnswGraph& graph, const std::vector<uint32_t>& nodes) {
  for (uint32_t node : nodes) graph.storage().set_hidden(node, true);
  HnswRepair repair(graph);
  EXPECT_EQ(repair.Doom(nodes), kNoNode);
  EXPECT_FALSE(graph.doomed(graph.entry().node));
  return repair;
}

std::vector<uint32_t> EveryNth(uint32_t step, uint32_t end) {
  std::vector<uint32_t> nodes;
  for (uint32_t node = 0; node < end; node += step) nodes.push_back(node);
  return nodes;
}

// What a reclaim does with nodes that nothing leads to any more.
void FreeDoomed(HnswGraph& graph) {
  GraphStorage& storage = graph.storage();
  for (uint32_t node = 0; node < storage.num_nodes(); ++node) {
    if (!graph.doomed(node)) continue;
    for (int at = 0; at <= storage.level(node); ++at) graph.WriteLinks(node, at, {});
    storage.set_label(node, kNoLabel);
    graph.set_doomed(node, false);
  }
}

int64_t CountLinksToDoomed(const HnswGraph& graph) {
  const GraphStorage& storage = graph.storage();
  int64_t num_links = 0;
  for (uint32_t node = 0; node < storage.num_nodes(); ++node) {
    if (graph.doomed(node)) continue;
    for (int level = 0; level <= storage.level(node); ++level) {
      const uint32_t* links = storage.links(node, level);
      for (int64_t i = 0; i < storage.list_size(level) && links[i] != kNoNode; ++i) {
        num_links += graph.doomed(links[i]);
      }
    }
  }
  return num_links;
}

int64_t CountRepeatedLinks(const HnswGraph& graph) {
  const GraphStorage& storage = graph.storage();
  int64_t num_repeated = 0;
  for (uint32_t node = 0; node < storage.num_nodes(); ++node) {
    const uint32_t* links = storage.links(node, 0);
    std::vector<uint32_t> seen = {node};
    for (int64_t i = 0; i < storage.list_size(0) && links[i] != kNoNode; ++i) {
      num_repeated += std::count(seen.begin(), seen.end(), links[i]);
      seen.push_back(links[i]);
    }
  }
  return num_repeated;
}

double MeanListLength(const HnswGraph& graph) {
  const GraphStorage& storage = graph.storage();
  int64_t num_links = 0, num_nodes = 0;
  for (uint32_t node = 0; node < storage.num_nodes(); ++node) {
    if (storage.hidden(node)) continue;
    ++num_nodes;
    const uint32_t* links = storage.links(node, 0);
    for (int64_t i = 0; i < storage.list_size(0) && links[i] != kNoNode; ++i) {
      ++num_links;
    }
  }
  return static_cast<double>(num_links) / static_cast<double>(num_nodes);
}

// Share of the 10 nearest visible nodes found with ef 40, queries being other points.
double Recall(const HnswGraph& graph) {
  const GraphStorage& storage = graph.storage();
  const std::vector<float> queries = ClusteredVectors(100, 77);
  WalkScratch scratch;
  SearchBudget budget({});
  int64_t hits = 0, wanted = 0;
  for (size_t at = 0; at < queries.size(); at += kDim) {
    scratch.Begin(storage);
    storage.codec().EncodeQuery(&queries[at], scratch.CodedQuery());
    std::vector<NodeDistance> exact;
    for (uint32_t node = 0; node < storage.num_nodes(); ++node) {
      if (storage.hidden(node)) continue;
      float distance;
      storage.codec().Gather(scratch.CodedQuery(), storage.codes(), &node, 1,
                             &distance);
      exact.push_back({distance, node});
    }
    std::sort(exact.begin(), exact.end());
    exact.resize(std::min<size_t>(exact.size(), 10));
    graph.WalkAll(scratch.CodedQuery(), 40, budget, scratch);
    wanted += static_cast<int64_t>(exact.size());
    for (const NodeDistance& node : exact) {
      hits += std::any_of(
          scratch.found.begin(), scratch.found.end(),
          [&](const NodeDistance& found) { return found.node == node.node; });
    }
  }
  return static_cast<double>(hits) / static_cast<double>(wanted);
}

uint32_t NumNodes(const HnswGraph& graph) {
  return static_cast<uint32_t>(graph.storage().num_nodes());
}

TEST(HnswRepairTest, NoListHoldsADoomedNodeAfterwards) {
  auto graph = GraphOf(ClusteredVectors(2000, 1));
  HnswRepair repair = Doom(*graph, EveryNth(4, 2000));
  ASSERT_GT(CountLinksToDoomed(*graph), 0);
  EXPECT_GT(repair.BypassDoomed(0, NumNodes(*graph)), 0);
  EXPECT_EQ(CountLinksToDoomed(*graph), 0);
  EXPECT_EQ(CountRepeatedLinks(*graph), 0);
  EXPECT_EQ(repair.BypassDoomed(0, NumNodes(*graph)), 0);
}

TEST(HnswRepairTest, NothingIsWrittenWhereNothingIsDoomed) {
  auto graph = GraphOf(ClusteredVectors(500, 2));
  HnswRepair repair(*graph);
  EXPECT_EQ(repair.BypassDoomed(0, NumNodes(*graph)), 0);
}

TEST(HnswRepairTest, TheEntryMovesToTheHighestVisibleNode) {
  auto graph = GraphOf(ClusteredVectors(2000, 3));
  const GraphStorage& storage = graph->storage();
  const HnswGraph::Entry before = graph->entry();
  std::vector<uint32_t> highest;
  for (uint32_t node = 0; node < 2000; ++node) {
    if (storage.level(node) == before.level) highest.push_back(node);
  }
  Doom(*graph, highest);
  const HnswGraph::Entry after = graph->entry();
  EXPECT_EQ(after.level, before.level - 1);
  EXPECT_EQ(storage.level(after.node), after.level);
}

TEST(HnswRepairTest, TheEntryIsSparedWhenEverythingGoes) {
  auto graph = GraphOf(ClusteredVectors(50, 4));
  const HnswGraph::Entry before = graph->entry();
  const std::vector<uint32_t> all = EveryNth(1, 50);
  for (uint32_t node : all) graph->storage().set_hidden(node, true);
  HnswRepair repair(*graph);
  EXPECT_EQ(repair.Doom(all), before.node);
  EXPECT_EQ(graph->entry().node, before.node);
  for (uint32_t node : all) EXPECT_EQ(graph->doomed(node), node != before.node);
}

struct Loss {
  const char* name;
  double share;   // of the nodes that go
  bool clusters;  // whole ones instead of nodes at random
};

class HnswRepairLossTest : public testing::TestWithParam<Loss> {};

// 3000 nodes of 16 dimensions around 20 centres; recall@10 at ef 40, 100 queries.
TEST_P(HnswRepairLossTest, RecallIsThatOfABuildWithoutTheNodes) {
  const std::vector<float> vectors = ClusteredVectors(3000, 6);
  auto graph = GraphOf(vectors);
  std::mt19937 random(8);
  std::vector<float> survivors;
  std::vector<uint32_t> lost;
  for (uint32_t node = 0; node < 3000; ++node) {
    const double lot = GetParam().clusters
                           ? node % 20 / 20.0
                           : std::generate_canonical<double, 32>(random);
    if (lot < GetParam().share) {
      lost.push_back(node);
    } else {
      survivors.insert(survivors.end(), &vectors[node * kDim],
                       &vectors[node * kDim] + kDim);
    }
  }
  HnswRepair repair = Doom(*graph, lost);
  repair.BypassDoomed(0, NumNodes(*graph));
  FreeDoomed(*graph);
  EXPECT_EQ(repair.ReconnectUnreached().num_left, 0);
  EXPECT_EQ(repair.ReconnectUnreached().num_unreached, 0);
  EXPECT_EQ(CountRepeatedLinks(*graph), 0);
  EXPECT_GE(Recall(*graph), Recall(*GraphOf(survivors)) - 0.03);
}

INSTANTIATE_TEST_SUITE_P(Losses, HnswRepairLossTest,
                         testing::Values(Loss{"Few", 0.04, false},
                                         Loss{"Many", 0.5, false},
                                         Loss{"NearlyAll", 0.98, false},
                                         Loss{"OneCluster", 0.05, true},
                                         Loss{"MostClusters", 0.9, true}),
                         [](const auto& info) { return info.param.name; });

// Every node leaves and comes again three times, 5 % at a time.
TEST(HnswRepairTest, RecallAndListsStayThroughThreeChurns) {
  const std::vector<float> vectors = ClusteredVectors(2000, 9);
  auto graph = GraphOf(vectors);
  const double fresh_recall = Recall(*graph);
  const double fresh_length = MeanListLength(*graph);
  GraphStorage& storage = graph->storage();
  HnswRepair repair(*graph);
  WalkScratch scratch;
  std::vector<uint32_t> nodes(2000);
  for (uint32_t node = 0; node < 2000; ++node) nodes[node] = node;
  std::mt19937 random(10);
  for (int churn = 0; churn < 3; ++churn) {
    std::shuffle(nodes.begin(), nodes.end(), random);
    for (size_t first = 0; first < nodes.size(); first += 100) {
      Doom(*graph, {nodes.begin() + first, nodes.begin() + first + 100});
      repair.BypassDoomed(0, NumNodes(*graph));
      FreeDoomed(*graph);
      for (size_t i = first; i < first + 100; ++i) {
        storage.WriteItem(nodes[i], &vectors[nodes[i] * kDim], nodes[i]);
        graph->Insert(nodes[i], scratch);
        storage.set_hidden(nodes[i], false);
      }
      repair.ReconnectUnreached();
    }
  }
  EXPECT_EQ(repair.ReconnectUnreached().num_unreached, 0);
  EXPECT_GE(Recall(*graph), fresh_recall - 0.01);
  EXPECT_NEAR(MeanListLength(*graph) / fresh_length, 1, 0.15);
}

TEST(HnswRepairTest, EveryNodeIsLedToAfterItsLinksWereLost) {
  auto graph = GraphOf(ClusteredVectors(1000, 11));
  const GraphStorage& storage = graph->storage();
  // Takes 40 nodes out of all lists: nothing leads to them any more.
  for (uint32_t node = 0; node < 1000; ++node) {
    std::vector<NodeDistance> others;
    for (int64_t i = 0; i < storage.list_size(0); ++i) {
      const uint32_t link = storage.links(node, 0)[i];
      if (link == kNoNode) break;
      if (link % 25 != 3) others.push_back({0, link});
    }
    graph->WriteLinks(node, 0, others);
  }
  HnswRepair repair(*graph);
  const ReachReport report = repair.ReconnectUnreached();
  EXPECT_EQ(report.num_unreached, 40);
  EXPECT_EQ(report.num_left, 0);
  EXPECT_EQ(repair.ReconnectUnreached().num_unreached, 0);
}

// A ring of full lists: node n leads to the 16 after it, none of them the lost one.
std::unique_ptr<HnswGraph> RingWithALostNode() {
  constexpr uint32_t kNodes = 100;
  const std::vector<float> vectors = ClusteredVectors(kNodes, 12);
  auto graph = GraphOf(vectors);
  const uint32_t entry = graph->entry().node;
  const uint32_t lost = (entry + 50) % kNodes;
  for (uint32_t node = 0; node < kNodes; ++node) {
    std::vector<NodeDistance> links;
    for (uint32_t step = 1; links.size() < 2 * kM; ++step) {
      const uint32_t target = (node + step) % kNodes;
      if (target != lost) links.push_back({0, target});
    }
    graph->WriteLinks(node, 0, links);
  }
  return graph;
}

TEST(HnswRepairTest, AStoppedLookForLostNodesChangesNothing) {
  const auto graph = RingWithALostNode();
  HnswRepair repair(*graph);
  const std::atomic<bool> stop{true};
  EXPECT_EQ(repair.ReconnectUnreached(&stop).num_unreached, 0);
  EXPECT_EQ(repair.ReconnectUnreached().num_unreached, 1);
}

TEST(HnswRepairTest, FullListsGiveUpOnlyLinksThatNoPathNeeds) {
  const auto graph = RingWithALostNode();
  HnswRepair repair(*graph);
  const ReachReport report = repair.ReconnectUnreached();
  EXPECT_EQ(report.num_unreached, 1);
  EXPECT_EQ(report.num_left, 0);
  EXPECT_EQ(repair.ReconnectUnreached().num_unreached, 0);
}

TEST(HnswRepairTest, AnEmptyGraphHasNothingToRepair) {
  const VectorCodec codec(CodeKind::kFloat32, Metric::kL2, kDim, 1);
  HnswGraph graph(std::make_unique<GraphStorage>(
                      GraphShape{.dim = kDim, .m = kM, .seed = 5, .codec = codec}, 8),
                  80);
  HnswRepair repair(graph);
  EXPECT_EQ(repair.Doom({}), kNoNode);
  EXPECT_EQ(repair.BypassDoomed(0, 0), 0);
  EXPECT_EQ(repair.ReconnectUnreached().num_unreached, 0);
}

// Inserts and searches go on while a tenth of the nodes is taken out.
TEST(HnswRepairTest, InsertsAndSearchesGoOnMeanwhile) {
  const std::vector<float> vectors = ClusteredVectors(2000, 13);
  auto graph =
      GraphOf(std::vector<float>(vectors.begin(), vectors.begin() + 1000 * kDim));
  const VectorCodec codec(CodeKind::kFloat32, Metric::kL2, kDim, 1);
  graph->Exchange(GraphStorage::Grown(graph->storage(), 2000, codec));
  graph->storage().AppendNodes(1000);
  HnswRepair repair = Doom(*graph, EveryNth(10, 1000));
  std::atomic<bool> done{false};
  std::thread inserts([&] {
    WalkScratch scratch;
    for (uint32_t node = 1000; node < 2000; ++node) {
      graph->storage().WriteItem(node, &vectors[node * kDim], node);
      graph->Insert(node, scratch);
      graph->storage().set_hidden(node, false);
    }
    done = true;
  });
  std::thread searches([&] {
    while (!done) Recall(*graph);
  });
  repair.BypassDoomed(0, 1000);
  inserts.join();
  searches.join();
  repair.BypassDoomed(0, 2000);
  EXPECT_EQ(CountLinksToDoomed(*graph), 0);
  FreeDoomed(*graph);
  EXPECT_EQ(repair.ReconnectUnreached().num_left, 0);
}

}  // namespace
}  // namespace stepwell::index
