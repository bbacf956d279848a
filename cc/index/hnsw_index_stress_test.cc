// Everything at once, under a sanitiser as well: see the targets of this file.
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <numeric>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "cc/index/flat_index.h"
#include "cc/index/hnsw_index.h"
#include "cc/index/id_bitmap.h"
#include "gtest/gtest.h"

namespace stepwell::index {
namespace {

constexpr int64_t kDim = 16, kNumIds = 3000, kBuilt = 400;
constexpr int kNumWriters = 2, kNumSearchers = 3, kRoundsOfAWriter = 150;
constexpr uint64_t kAlive = 0;

using Vector = std::vector<float>;

// Another vector for each version of an item.
Vector VectorOf(int64_t id, uint64_t version) {
  std::mt19937 random(static_cast<uint32_t>(id * 1'000'003 + version * 7919));
  std::normal_distribution<float> normal;
  Vector vector(kDim);
  for (float& value : vector) value = normal(random);
  return vector;
}

// What writers did to each id, in steps of one clock for all threads. Each id has one
// writer, so that its steps have an order.
class History {
 public:
  History() : gone_since_(kNumIds), versions_(kNumIds) {
    for (auto& step : gone_since_) step = 1;
  }
  uint64_t Now() { return clock_.fetch_add(1); }

  void BeforeUpsert(int64_t id) { gone_since_[id] = kAlive; }
  void AfterDelete(int64_t id) { gone_since_[id] = Now(); }
  // Whether the id was gone when that step was taken and has been ever since.
  bool GoneSince(int64_t id, uint64_t step) const {
    const uint64_t gone = gone_since_[id];
    return gone != kAlive && gone < step;
  }
  bool Alive(int64_t id) const { return gone_since_[id] == kAlive; }
  uint64_t& version(int64_t id) { return versions_[id]; }  // of its writer

 private:
  std::atomic<uint64_t> clock_{2};
  std::vector<std::atomic<uint64_t>> gone_since_;
  std::vector<uint64_t> versions_;
};

class HnswIndexStressTest : public testing::TestWithParam<CodeKind> {
 protected:
  void SetUp() override {
    HnswOptions options;
    options.dim = kDim;
    options.metric = Metric::kCosine;
    options.m = 8;
    options.ef_construction = 40;
    options.codes = GetParam();
    options.keep_vectors = GetParam() != CodeKind::kBfloat16;
    Vector vectors;
    std::vector<int64_t> ids;
    // Far fewer than will be written: the index has to grow.
    for (int64_t id = 0; id < kBuilt; ++id) {
      history_.BeforeUpsert(id);
      const Vector vector = VectorOf(id, 0);
      vectors.insert(vectors.end(), vector.begin(), vector.end());
      ids.push_back(id);
    }
    index_ = *HnswIndex::Build(vectors, ids, options);
  }

  void Write(int writer);
  void UpsertSome(int writer, std::mt19937& random);
  void DeleteSome(int writer, std::mt19937& random);
  std::set<int64_t> SomeIds(int writer, std::mt19937& random, bool near);
  void Search(uint32_t seed);
  void CheckAnswer(const SearchResult& found, const SearchOptions& options,
                   uint64_t began);
  void SaveAndOpen();

  History history_;
  std::unique_ptr<HnswIndex> index_;
  std::atomic<int> num_writing_{kNumWriters};
  std::atomic<int> num_rounds_{0};
  std::atomic<int64_t> num_answers_{0};
  std::atomic<int64_t> num_written_{0};
  std::atomic<int64_t> num_not_found_{0};
};

// Ids of one writer: one run of them when near, so that a region goes as a whole.
std::set<int64_t> HnswIndexStressTest::SomeIds(int writer, std::mt19937& random,
                                               bool near) {
  std::set<int64_t> ids;
  const int64_t count = 1 + static_cast<int64_t>(random() % 20);
  int64_t at = random() % kNumIds;
  while (static_cast<int64_t>(ids.size()) < count) {
    ids.insert(at / kNumWriters * kNumWriters + writer);
    at = near ? (at + kNumWriters) % kNumIds : random() % kNumIds;
  }
  return ids;
}

void HnswIndexStressTest::UpsertSome(int writer, std::mt19937& random) {
  const std::set<int64_t> some = SomeIds(writer, random, false);
  const std::vector<int64_t> ids(some.begin(), some.end());
  Vector vectors;
  for (int64_t id : ids) {
    history_.BeforeUpsert(id);
    const Vector vector = VectorOf(id, ++history_.version(id));
    vectors.insert(vectors.end(), vector.begin(), vector.end());
  }
  ASSERT_TRUE(index_->Upsert(vectors, ids).ok());
  // Its writer finds it from now on.
  SearchOptions options;
  options.ef_search = 100;
  const SearchResult found = *index_->Search(vectors, 1, options);
  for (size_t i = 0; i < ids.size(); ++i) num_not_found_ += found.ids[i] != ids[i];
  num_written_ += static_cast<int64_t>(ids.size());
}

void HnswIndexStressTest::DeleteSome(int writer, std::mt19937& random) {
  const std::set<int64_t> some = SomeIds(writer, random, true);
  const std::vector<int64_t> ids(some.begin(), some.end());
  const auto is_alive = [this](int64_t id) { return history_.Alive(id); };
  const int64_t num_alive = std::count_if(ids.begin(), ids.end(), is_alive);
  const DeleteResult result = *index_->Delete(ids);
  EXPECT_EQ(result.num_deleted, num_alive);
  EXPECT_EQ(result.num_deleted + result.num_unknown, static_cast<int64_t>(ids.size()));
  for (int64_t id : ids) {
    if (is_alive(id)) history_.AfterDelete(id);
  }
}

void HnswIndexStressTest::Write(int writer) {
  std::mt19937 random(static_cast<uint32_t>(writer));
  for (int round = 0; round < kRoundsOfAWriter; ++round) {
    if (random() % 3 == 0) {
      DeleteSome(writer, random);
    } else {
      UpsertSome(writer, random);
    }
    if (random() % 50 == 0) {
      ASSERT_TRUE(index_->Reclaim().ok());
    }
    ++num_rounds_;
  }
  --num_writing_;
}

void HnswIndexStressTest::Search(uint32_t seed) {
  std::mt19937 random(seed);
  IdBitmap third(kNumIds);
  for (int64_t id = 0; id < kNumIds; id += 3) third.Set(id);
  std::vector<int64_t> excluded(200);
  while (num_writing_ > 0) {
    SearchOptions options;
    const uint32_t kind = random() % 6;
    if (kind == 1 || kind == 2) options.allowed = &third;
    if (kind == 2 || kind == 3) {
      for (int64_t& id : excluded) id = random() % kNumIds;
      options.exclude_ids = excluded;
    }
    if (kind == 4) options.budget_nanos = 20'000;
    options.exact = kind == 5;
    const Vector query = VectorOf(random() % kNumIds, random() % 8);
    const uint64_t began = history_.Now();
    const auto found = index_->Search(query, 10, options);
    ASSERT_TRUE(found.ok()) << found.status();
    CheckAnswer(*found, options, began);
    ++num_answers_;
  }
}

void HnswIndexStressTest::CheckAnswer(const SearchResult& found,
                                      const SearchOptions& options, uint64_t began) {
  const std::vector<int64_t> ids(found.ids.begin(),
                                 found.ids.begin() + found.counts[0]);
  EXPECT_EQ(std::set<int64_t>(ids.begin(), ids.end()).size(), ids.size());
  for (int64_t id : ids) {
    ASSERT_TRUE(id >= 0 && id < kNumIds) << id;
    EXPECT_FALSE(history_.GoneSince(id, began)) << id;
    EXPECT_TRUE(options.allowed == nullptr || options.allowed->Test(id)) << id;
    const auto& excluded = options.exclude_ids;
    EXPECT_EQ(std::count(excluded.begin(), excluded.end(), id), 0) << id;
  }
  EXPECT_TRUE(std::is_sorted(found.scores.begin(), found.scores.begin() + ids.size(),
                             std::greater<>()));
}

// A file of any moment is whole: its checks say so, and it has the items it says.
void HnswIndexStressTest::SaveAndOpen() {
  const std::string path = testing::TempDir() + "/stress.index";
  for (int due = 0; num_writing_ > 0; std::this_thread::yield()) {
    if (num_rounds_ < due) continue;
    due += kRoundsOfAWriter / 5;
    ASSERT_TRUE(index_->Save(path).ok());
    const auto opened = HnswIndex::Open(path);
    ASSERT_TRUE(opened.ok()) << opened.status();
    const std::vector<int64_t> ids = (*opened)->Ids();
    EXPECT_EQ((*opened)->Stats().num_items, static_cast<int64_t>(ids.size()));
    const IndexStats stats = index_->Stats();
    EXPECT_LE(stats.num_items + stats.num_deleted + stats.num_free, stats.num_nodes);
  }
}

TEST_P(HnswIndexStressTest, WritersSearchesReclaimGrowthAndSaveAtOnce) {
  std::vector<std::thread> threads;
  for (int i = 0; i < kNumWriters; ++i) threads.emplace_back([this, i] { Write(i); });
  for (int i = 0; i < kNumSearchers; ++i) {
    threads.emplace_back([this, i] { Search(static_cast<uint32_t>(100 + i)); });
  }
  threads.emplace_back([this] { SaveAndOpen(); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(num_answers_, 0);
  EXPECT_LE(num_not_found_, num_written_ / 100);

  ASSERT_TRUE(index_->Reclaim().ok());
  std::vector<int64_t> alive;
  Vector vectors;
  for (int64_t id = 0; id < kNumIds; ++id) {
    if (!history_.Alive(id)) continue;
    alive.push_back(id);
    const Vector vector = VectorOf(id, history_.version(id));
    vectors.insert(vectors.end(), vector.begin(), vector.end());
  }
  EXPECT_EQ(index_->Ids(), alive);
  EXPECT_GT(index_->Stats().num_nodes, kBuilt);
  EXPECT_EQ(index_->Stats().num_deleted, 0);

  // Each is found by its own vector, and the graph is as good as it should be:
  // recall@10 at ef_search 100.
  SearchOptions options;
  options.ef_search = 100;
  const SearchResult own = *index_->Search(vectors, 1, options);
  EXPECT_EQ(own.ids, alive);
  const auto flat = *FlatIndex::Build(vectors, alive, {kDim, Metric::kCosine});
  const SearchResult exact = *flat->Search(vectors, 10, options);
  const SearchResult found = *index_->Search(vectors, 10, options);
  int64_t hits = 0;
  for (size_t i = 0; i < found.ids.size(); ++i) {
    const auto first = exact.ids.begin() + i / 10 * 10;
    hits += std::count(first, first + 10, found.ids[i]);
  }
  EXPECT_GE(static_cast<double>(hits) / found.ids.size(), 0.97);
}

INSTANTIATE_TEST_SUITE_P(Codes, HnswIndexStressTest,
                         testing::Values(CodeKind::kFloat32, CodeKind::kBfloat16,
                                         CodeKind::kInt8),
                         [](const auto& info) {
                           return std::string(CodeKindName(info.param));
                         });

}  // namespace
}  // namespace stepwell::index
