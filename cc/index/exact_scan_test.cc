// Filters and scans over a storage without links.
#include "cc/index/exact_scan.h"

#include <algorithm>
#include <memory>
#include <random>
#include <set>

#include "cc/base/clock.h"
#include "cc/index/label_table.h"
#include "cc/index/node_filter.h"
#include "cc/index/search_plan.h"
#include "gtest/gtest.h"

namespace stepwell::index {
namespace {

constexpr int64_t kDim = 20;

std::vector<float> RandomVectors(int64_t n, uint32_t seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<size_t>(n * kDim));
  for (float& value : values) value = normal(generator);
  return values;
}

// Node i holds the item with id 3 * ((i * 7) % n): neither in the order of nodes nor
// dense. Every fifth node is hidden and its id not in the table.
class ExactScanTest : public testing::Test {
 protected:
  void Fill(int64_t num_nodes, CodeKind kind = CodeKind::kFloat32) {
    labels_ = std::make_unique<LabelTable>(gate_);
    vectors_ = RandomVectors(num_nodes, 1);
    const VectorCodec codec(kind, Metric::kL2, kDim,
                            VectorCodec::LimitFor(vectors_, kDim, Metric::kL2));
    storage_ = std::make_unique<GraphStorage>(
        GraphShape{.dim = kDim, .m = 4, .codec = codec}, num_nodes + 100);
    storage_->AppendNodes(num_nodes);
    for (uint32_t node = 0; node < num_nodes; ++node) {
      storage_->WriteItem(node, &vectors_[node * kDim], Label(node));
      if (node % 5 == 4) continue;
      storage_->set_hidden(node, false);
      labels_->Put(Label(node), node);
    }
  }

  int64_t Label(uint32_t node) const {
    return 3 * ((node * int64_t{7}) % (static_cast<int64_t>(vectors_.size()) / kDim));
  }
  bool Keeps(uint32_t node) const {
    const std::set<int64_t> excluded(options_.exclude_ids.begin(),
                                     options_.exclude_ids.end());
    return node % 5 != 4 && !excluded.contains(Label(node)) &&
           (options_.allowed == nullptr || options_.allowed->Test(Label(node)));
  }

  ScanOutcome Scan(size_t width) {
    SearchBudget budget(options_);
    const NodeFilter filter(*storage_, *labels_, options_);
    return ExactScan(*storage_, {.exact = query_.data()}, filter, width, budget,
                     found_);
  }

  // The plain answer by double precision.
  std::vector<uint32_t> Nearest(size_t width) const {
    std::vector<std::pair<double, uint32_t>> all;
    for (uint32_t node = 0; node < storage_->num_nodes(); ++node) {
      if (!Keeps(node)) continue;
      double sum = 0;
      for (int64_t i = 0; i < kDim; ++i) {
        const double difference = double{query_[i]} - vectors_[node * kDim + i];
        sum += difference * difference;
      }
      all.emplace_back(sum, node);
    }
    std::sort(all.begin(), all.end());
    std::vector<uint32_t> nodes;
    for (size_t i = 0; i < std::min(width, all.size()); ++i) {
      nodes.push_back(all[i].second);
    }
    return nodes;
  }

  std::vector<uint32_t> FoundNodes() const {
    std::vector<uint32_t> nodes;
    for (const NodeDistance& found : found_) nodes.push_back(found.node);
    return nodes;
  }

  ReaderGate gate_;
  std::unique_ptr<LabelTable> labels_;
  std::unique_ptr<GraphStorage> storage_;
  std::vector<float> vectors_;
  const std::vector<float> query_ = RandomVectors(1, 2);
  SearchOptions options_;
  std::vector<NodeDistance> found_;
};

IdBitmap EveryNth(int64_t num_bits, int64_t n) {
  IdBitmap bitmap(num_bits);
  for (int64_t id = 0; id < num_bits; id += n) bitmap.Set(id);
  return bitmap;
}

TEST_F(ExactScanTest, FindsTheNearestOfWhatTheFilterKeeps) {
  for (int64_t num_nodes : {0, 1, 5, 64, 255, 256, 257, 3'000}) {
    Fill(num_nodes);
    const std::vector<int64_t> excluded = {0, 6, 21, 30, 300, 300, 1'000'000};
    for (int64_t step : {0, 1, 2, 24, 63, 600}) {
      for (bool excludes : {false, true}) {
        const IdBitmap allowed =
            EveryNth(3 * num_nodes + 500, std::max<int64_t>(step, 1));
        options_.allowed = step == 0 ? nullptr : &allowed;
        options_.exclude_ids =
            excludes ? absl::MakeConstSpan(excluded) : absl::Span<const int64_t>();
        const ScanOutcome outcome = Scan(10);
        ASSERT_EQ(FoundNodes(), Nearest(10)) << num_nodes << " nodes, step " << step;
        EXPECT_EQ(outcome.num_distances,
                  static_cast<int64_t>(Nearest(num_nodes).size()));
        EXPECT_FALSE(outcome.truncated);
      }
    }
  }
}

TEST_F(ExactScanTest, BothWaysOfAScanAreTaken) {
  EXPECT_TRUE(ScansByBits(10, 3'000));
  EXPECT_FALSE(ScansByBits(1'500, 3'000));
}

TEST_F(ExactScanTest, AScanOfCodesFindsWhatAScanOfVectorsFinds) {
  Fill(2'000, CodeKind::kInt8);
  Scan(20);
  const std::vector<uint32_t> exact = FoundNodes();
  std::vector<uint64_t> coded(storage_->codec().query_bytes() / 8 + 16);
  void* aligned = coded.data();
  size_t room = coded.size() * 8;
  std::align(64, storage_->codec().query_bytes(), aligned, room);
  storage_->codec().EncodeQuery(query_.data(), static_cast<char*>(aligned));
  SearchBudget budget(options_);
  const NodeFilter filter(*storage_, *labels_, options_);
  ExactScan(*storage_, {.coded = static_cast<const char*>(aligned)}, filter, 40, budget,
            found_);
  const std::vector<uint32_t> by_codes = FoundNodes();
  for (uint32_t node : exact) {
    EXPECT_NE(std::find(by_codes.begin(), by_codes.end(), node), by_codes.end());
  }
}

TEST_F(ExactScanTest, AnItemThatMovedToAnotherNodeIsFoundByItsBit) {
  Fill(2'000);
  // Published anew, as an update does it: the table leads to the new node before the
  // old one is hidden.
  const uint32_t moved = 4;
  labels_->Put(Label(0), moved);
  IdBitmap allowed(10);
  allowed.Set(Label(0));
  options_.allowed = &allowed;
  Scan(5);
  EXPECT_EQ(FoundNodes(), std::vector<uint32_t>{moved});
}

TEST_F(ExactScanTest, ABudgetEndsTheScanWithTheBestSoFar) {
  Fill(3'000);
  const FakeClock clock(/*step_nanos=*/1'000);
  options_.clock = &clock;
  options_.budget_nanos = 3'500;
  const ScanOutcome outcome = Scan(10);
  EXPECT_TRUE(outcome.truncated);
  EXPECT_EQ(found_.size(), 10u);
  EXPECT_GT(outcome.num_distances, 0);
  EXPECT_LT(outcome.num_distances, 1'500);
  EXPECT_TRUE(std::is_sorted(found_.begin(), found_.end()));
}

TEST_F(ExactScanTest, ALongEmptySetStillLooksAtTheClock) {
  Fill(10);
  const IdBitmap allowed(10'000'000);
  const FakeClock clock(/*step_nanos=*/1'000);
  options_.allowed = &allowed;
  options_.clock = &clock;
  options_.budget_nanos = 3'500;
  EXPECT_TRUE(Scan(10).truncated);
}

TEST_F(ExactScanTest, AFilterTellsHiddenExcludedAndForbiddenNodes) {
  Fill(100);
  NodeFilter open(*storage_, *labels_, options_);
  EXPECT_TRUE(open.passes_all());
  EXPECT_FALSE(open(4));
  EXPECT_TRUE(open(3));
  const IdBitmap allowed = EveryNth(300, 6);
  const std::vector<int64_t> excluded = {Label(2), 1, 1'000, Label(2)};
  options_.allowed = &allowed;
  options_.exclude_ids = excluded;
  const NodeFilter filter(*storage_, *labels_, options_);
  EXPECT_FALSE(filter.passes_all());
  EXPECT_EQ(filter.num_excluded(), 1);
  EXPECT_TRUE(filter.ExcludesLabel(Label(2)));
  EXPECT_FALSE(filter.ExcludesLabel(Label(3)));
  for (uint32_t node = 0; node < 100; ++node) {
    EXPECT_EQ(filter(node), Keeps(node)) << node;
  }
}

TEST(NodeSetTest, HoldsWhatWasAddedAndNothingElse) {
  std::mt19937 generator(3);
  NodeSet set;
  EXPECT_FALSE(set.Contains(0));
  set.Reserve(5'000);
  std::set<uint32_t> plain;
  for (int i = 0; i < 5'000; ++i) {
    const uint32_t node = generator() % 20'000;
    set.Add(node);
    plain.insert(node);
  }
  EXPECT_EQ(set.size(), static_cast<int64_t>(plain.size()));
  for (uint32_t node = 0; node < 20'000; ++node) {
    ASSERT_EQ(set.Contains(node), plain.contains(node)) << node;
  }
}

}  // namespace
}  // namespace stepwell::index
