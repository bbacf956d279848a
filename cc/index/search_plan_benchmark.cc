// What the ways of a filtered search cost: the figures behind search_plan.cc.
//
// 1M x 64 generated vectors around 1'000 centres, cosine, int8 codes, M = 16, widths of
// 200, one thread. The graph is built first, on two threads, which takes minutes. Each
// query comes once a round, so that its rows have left the near caches when it comes
// again.
#include <atomic>
#include <cmath>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "benchmark/benchmark.h"
#include "cc/index/exact_scan.h"
#include "cc/index/hnsw_graph.h"
#include "cc/index/label_table.h"
#include "cc/index/node_filter.h"

namespace stepwell::index {
namespace {

constexpr int64_t kDim = 64, kItems = 1'000'000, kQueries = 200, kCentres = 1'000;
constexpr size_t kWidth = 200;

std::vector<float> ClusteredVectors(int64_t n) {
  std::mt19937 generator(1);
  std::normal_distribution<float> normal;
  std::vector<float> centres(kCentres * kDim), values(n * kDim);
  for (float& value : centres) value = normal(generator);
  for (int64_t row = 0; row < n; ++row) {
    float* vector = &values[row * kDim];
    double sum = 0;
    for (int64_t i = 0; i < kDim; ++i) {
      vector[i] = centres[row % kCentres * kDim + i] + normal(generator);
      sum += double{vector[i]} * vector[i];
    }
    for (int64_t i = 0; i < kDim; ++i) vector[i] /= static_cast<float>(std::sqrt(sum));
  }
  return values;
}

// Item ids are spread over the nodes.
struct Fixture {
  std::vector<float> vectors = ClusteredVectors(kItems + kQueries);
  ReaderGate gate;
  LabelTable labels{gate};
  std::unique_ptr<HnswGraph> graph;

  Fixture() {
    const auto items = absl::MakeConstSpan(vectors).first(kItems * kDim);
    const VectorCodec codec(CodeKind::kInt8, Metric::kCosine, kDim,
                            VectorCodec::LimitFor(items, kDim, Metric::kCosine));
    auto storage = std::make_unique<GraphStorage>(
        GraphShape{.dim = kDim, .m = 16, .seed = 1, .codec = codec}, kItems);
    storage->AppendNodes(kItems);
    for (int64_t node = 0; node < kItems; ++node) {
      const int64_t label = node * 7'919 % kItems;
      storage->WriteItem(static_cast<uint32_t>(node), &vectors[node * kDim], label);
      storage->set_hidden(static_cast<uint32_t>(node), false);
      labels.Put(label, static_cast<uint32_t>(node));
    }
    graph = std::make_unique<HnswGraph>(std::move(storage), /*ef_construction=*/200);
    std::atomic<uint32_t> next = 0;
    const auto link = [&] {
      WalkScratch scratch;
      for (uint32_t node; (node = next++) < kItems;) graph->Insert(node, scratch);
    };
    std::thread other(link);
    link();
    other.join();
  }

  static const Fixture& Get() {
    static const Fixture* const fixture = new Fixture();
    return *fixture;
  }
};

// Every id with that probability in ten thousand.
IdBitmap RandomSet(int64_t per_ten_thousand) {
  std::mt19937 generator(2);
  IdBitmap set(kItems);
  for (int64_t id = 0; id < kItems; ++id) {
    if (static_cast<int64_t>(generator() % 10'000) < per_ten_thousand) set.Set(id);
  }
  set.KeepCount();
  return set;
}

// Runs one query after another by `find`, which returns the distances it computed.
template <typename Find>
void Run(benchmark::State& state, const IdBitmap* allowed, Find find) {
  const Fixture& fixture = Fixture::Get();
  const GraphStorage& storage = fixture.graph->storage();
  SearchOptions options;
  options.allowed = allowed;
  WalkScratch scratch;
  int64_t query = 0, num_distances = 0;
  for (auto _ : state) {
    SearchBudget budget(options);
    const NodeFilter filter(storage, fixture.labels, options);
    scratch.Begin(storage);
    storage.codec().EncodeQuery(&fixture.vectors[(kItems + query) * kDim],
                                scratch.CodedQuery());
    num_distances += find(*fixture.graph, filter, budget, scratch);
    query = (query + 1) % kQueries;
  }
  state.counters["distances"] = benchmark::Counter(static_cast<double>(num_distances),
                                                   benchmark::Counter::kAvgIterations);
}

void BM_WalkAll(benchmark::State& state) {
  const auto width = static_cast<size_t>(state.range(0));
  Run(state, nullptr,
      [&](const HnswGraph& graph, const NodeFilter&, SearchBudget& budget,
          WalkScratch& scratch) {
        graph.WalkAll(scratch.CodedQuery(), width, budget, scratch);
        return scratch.num_distances;
      });
}
BENCHMARK(BM_WalkAll)->Arg(100)->Arg(200)->Arg(400)->Arg(800)->Arg(1600);

void BM_WalkFiltered(benchmark::State& state) {
  const IdBitmap allowed = RandomSet(state.range(0));
  Run(state, &allowed,
      [](const HnswGraph& graph, const NodeFilter& filter, SearchBudget& budget,
         WalkScratch& scratch) {
        graph.WalkFiltered(scratch.CodedQuery(), kWidth, filter, kItems, budget,
                           scratch);
        return scratch.num_distances;
      });
}
BENCHMARK(BM_WalkFiltered)->Arg(9'000)->Arg(5'000)->Arg(2'000)->Arg(1'000)->Arg(100);

void BM_ExactScan(benchmark::State& state) {
  const IdBitmap allowed = RandomSet(state.range(0));
  std::vector<NodeDistance> found;
  Run(state, &allowed,
      [&](const HnswGraph& graph, const NodeFilter& filter, SearchBudget& budget,
          WalkScratch& scratch) {
        return ExactScan(graph.storage(), {.coded = scratch.CodedQuery()}, filter,
                         kWidth, budget, found)
            .num_distances;
      });
}
BENCHMARK(BM_ExactScan)
    ->Arg(9'000)
    ->Arg(5'000)
    ->Arg(1'000)
    ->Arg(630)
    ->Arg(310)
    ->Arg(100)
    ->Arg(1);

}  // namespace
}  // namespace stepwell::index
