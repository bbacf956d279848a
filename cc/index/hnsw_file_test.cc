// Saved indexes, opened again: the same answers, or a refusal with the reason.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <thread>

#include "cc/index/flat_index.h"
#include "cc/index/hnsw_index.h"
#include "cc/index/index_file_format.h"
#include "gtest/gtest.h"

namespace stepwell::index {
namespace {

constexpr int64_t kDim = 10, kItems = 2000;

std::vector<float> RandomVectors(int64_t num_rows, int seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> vectors(num_rows * kDim);
  for (float& value : vectors) value = normal(random);
  return vectors;
}

std::vector<int64_t> Ids(int64_t first, int64_t count) {
  std::vector<int64_t> ids(count);
  std::iota(ids.begin(), ids.end(), first);
  return ids;
}

class HnswFileTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = testing::TempDir() + "/hnsw_file_test_" +
            testing::UnitTest::GetInstance()->current_test_info()->name();
  }
  void TearDown() override { std::remove(path_.c_str()); }

  static HnswOptions Options() {
    HnswOptions options{.dim = kDim, .metric = Metric::kCosine, .m = 6};
    options.ef_construction = 40;
    options.background = false;
    return options;
  }

  static std::unique_ptr<HnswIndex> Built(const HnswOptions& options,
                                          int64_t num_items = kItems) {
    auto index =
        *HnswIndex::Build(RandomVectors(num_items, 1), Ids(0, num_items), options);
    EXPECT_TRUE(index->Delete(Ids(100, 50)).ok());
    EXPECT_TRUE(index->Upsert(RandomVectors(20, 2), Ids(0, 20)).ok());
    return index;
  }

  std::string Bytes() const {
    std::ifstream file(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  absl::Status OpenBytes(const std::string& bytes) {
    std::ofstream(path_, std::ios::binary | std::ios::trunc) << bytes;
    return HnswIndex::Open(path_).status();
  }

  std::string path_;
};

void ExpectSameAnswers(const HnswIndex& index, const HnswIndex& other) {
  const std::vector<float> queries = RandomVectors(50, 3);
  for (int64_t ef : {10, 100}) {
    SearchOptions options;
    options.ef_search = ef;
    const SearchResult a = *index.Search(queries, 10, options);
    const SearchResult b = *other.Search(queries, 10, options);
    EXPECT_EQ(a.ids, b.ids);
    EXPECT_EQ(a.scores, b.scores);
    EXPECT_EQ(a.num_distances, b.num_distances);
  }
}

TEST_F(HnswFileTest, AnOpenedFileAnswersBitForBitAsTheIndexThatWroteIt) {
  for (CodeKind codes : {CodeKind::kFloat32, CodeKind::kBfloat16, CodeKind::kInt8}) {
    for (Metric metric : {Metric::kInnerProduct, Metric::kCosine, Metric::kL2}) {
      for (bool keep_vectors : {false, true}) {
        HnswOptions options = Options();
        options.codes = codes;
        options.metric = metric;
        options.keep_vectors = keep_vectors;
        options.space_hash.fill(7);
        const auto index = Built(options, 400);
        ASSERT_TRUE(index->Save(path_).ok());
        const auto opened = HnswIndex::Open(path_, &options.space_hash);
        ASSERT_TRUE(opened.ok()) << opened.status();
        ExpectSameAnswers(*index, **opened);
        EXPECT_EQ((*opened)->Ids(), index->Ids());
        EXPECT_TRUE((*opened)->Stats().mapped);
        EXPECT_EQ((*opened)->Stats().num_deleted, index->Stats().num_deleted);
        EXPECT_EQ((*opened)->Stats().space_hash, options.space_hash);
      }
    }
  }
}

TEST_F(HnswFileTest, AnOpenedIndexSavesTheSameBytes) {
  HnswOptions options = Options();
  options.int8_limit = 0.75f;
  ASSERT_TRUE(Built(options)->Save(path_).ok());
  const std::string bytes = Bytes();
  HnswOpenOptions open_options;
  open_options.background = false;
  const auto opened = *HnswIndex::Open(path_, nullptr, open_options);
  EXPECT_EQ(opened->options().int8_limit, 0.75f);
  ASSERT_TRUE(opened->Save(path_).ok());
  EXPECT_EQ(Bytes(), bytes);
}

TEST_F(HnswFileTest, WritesGoOnWhereTheSavedIndexStopped) {
  const auto index = Built(Options());
  ASSERT_TRUE(index->Save(path_).ok());
  HnswOpenOptions open_options;
  open_options.background = false;
  const auto opened = *HnswIndex::Open(path_, nullptr, open_options);
  for (HnswIndex* each : {index.get(), opened.get()}) {
    ASSERT_TRUE(each->Upsert(RandomVectors(100, 4), Ids(5000, 100)).ok());
    EXPECT_EQ((*each->Delete(Ids(1990, 20))).num_deleted, 10);
  }
  EXPECT_FALSE(opened->Stats().mapped);
  EXPECT_EQ(opened->Ids(), index->Ids());
  ExpectSameAnswers(*index, *opened);
  // The file has not changed under those who still map it.
  EXPECT_TRUE(HnswIndex::Open(path_).ok());
}

TEST_F(HnswFileTest, ALimitThatNoFileHoldsIsRefusedBeforeTheBuild) {
  HnswOptions options = Options();
  for (float limit : {1e20f, -1.0f, std::numeric_limits<float>::infinity()}) {
    options.int8_limit = limit;
    EXPECT_EQ(HnswIndex::Build({}, {}, options).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
  options.int8_limit = kMaxInt8Limit;
  ASSERT_TRUE((*HnswIndex::Build({}, {}, options))->Save(path_).ok());
  EXPECT_TRUE(HnswIndex::Open(path_).ok());
}

TEST_F(HnswFileTest, AnEmptyIndexIsAFileToo) {
  const auto empty = *HnswIndex::Build({}, {}, Options());
  ASSERT_TRUE(empty->Save(path_).ok());
  const auto opened = HnswIndex::Open(path_);
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ((*(*opened)->Search(RandomVectors(1, 1), 5, {})).counts[0], 0);
  ASSERT_TRUE((*opened)->Upsert(RandomVectors(3, 1), Ids(0, 3)).ok());
  EXPECT_EQ((*(*opened)->Search(RandomVectors(1, 1), 5, {})).counts[0], 3);
}

TEST_F(HnswFileTest, AnIndexWhoseItemsAreAllDeletedIsAFileToo) {
  const auto index = *HnswIndex::Build(RandomVectors(30, 1), Ids(0, 30), Options());
  ASSERT_TRUE(index->Delete(Ids(0, 30)).ok());
  ASSERT_TRUE(index->Save(path_).ok());
  const auto opened = HnswIndex::Open(path_);
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ((*(*opened)->Search(RandomVectors(1, 1), 5, {})).counts[0], 0);
  ASSERT_TRUE((*opened)->Upsert(RandomVectors(3, 1), Ids(0, 3)).ok());
  EXPECT_EQ((*(*opened)->Search(RandomVectors(1, 1), 5, {})).counts[0], 3);
}

TEST_F(HnswFileTest, FiveHundredFlippedBitsInAllSectionsAreAllRefused) {
  ASSERT_TRUE(Built(Options())->Save(path_).ok());
  const std::string good = Bytes();
  std::mt19937_64 random(5);
  RawIndexHeader raw;
  std::memcpy(&raw, good.data(), sizeof(raw));
  const IndexFileLayout layout(FromRaw(raw));
  const auto flip = [&](uint64_t from, uint64_t bytes) {
    std::string bad = good;
    const uint64_t bit = random() % (8 * bytes);
    bad[from + bit / 8] ^= static_cast<char>(1 << (bit % 8));
    const absl::Status status = OpenBytes(bad);
    ASSERT_EQ(status.code(), absl::StatusCode::kDataLoss) << from + bit / 8;
    ASSERT_NE(status.message().find(path_), absl::string_view::npos) << status;
    ASSERT_NE(status.message().find("wrong"), absl::string_view::npos) << status;
  };
  constexpr int kFlips = 500, kPlaces = kNumIndexSections + 2;
  for (int i = 0; i < kFlips; ++i) {
    const int place = i % kPlaces;
    if (place == 0) {
      flip(8, sizeof(raw) - 8);  // behind the magic, which has a message of its own
    } else if (place == 1) {
      flip(sizeof(raw), layout.num_blocks() * sizeof(uint32_t));
    } else {
      const auto& extent = layout.extent(static_cast<IndexSection>(place - 2));
      flip(layout.payload_offset() + extent.offset, extent.bytes);
    }
  }
}

TEST_F(HnswFileTest, ACutAtEveryBlockAndBesideItIsRefused) {
  // Several blocks in a section.
  const auto index = *HnswIndex::Build(RandomVectors(20'000, 1), Ids(0, 20'000), [] {
    HnswOptions options = Options();
    options.m = 4;
    options.ef_construction = 4;
    return options;
  }());
  ASSERT_TRUE(index->Save(path_).ok());
  const std::string good = Bytes();
  RawIndexHeader raw;
  std::memcpy(&raw, good.data(), sizeof(raw));
  const IndexFileLayout layout(FromRaw(raw));
  ASSERT_GT(layout.num_blocks(), 8u);
  for (uint64_t block = 0; block <= layout.num_blocks(); ++block) {
    const uint64_t edge =
        std::min(layout.payload_offset() + block * raw.block_bytes, good.size());
    for (uint64_t cut : {edge - 1, edge, edge + 1}) {
      if (cut >= good.size()) continue;
      EXPECT_EQ(OpenBytes(good.substr(0, cut)).code(), absl::StatusCode::kDataLoss);
    }
  }
}

TEST_F(HnswFileTest, AnotherKindOrSpaceIsNamedAndNotServed) {
  SpaceHash expected;
  expected.fill(1);
  ASSERT_TRUE(Built(Options(), 200)->Save(path_).ok());
  const absl::Status space = HnswIndex::Open(path_, &expected).status();
  EXPECT_EQ(space.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(space.message().find("embedding space"), absl::string_view::npos);
  const absl::Status kind = FlatIndex::Open(path_).status();
  EXPECT_EQ(kind.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(kind.message().find("of kind hnsw"), absl::string_view::npos) << kind;
  EXPECT_EQ(HnswIndex::Open(path_ + "_none").status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(HnswIndex::Open(testing::TempDir()).status().code(),
            absl::StatusCode::kDataLoss);
}

TEST_F(HnswFileTest, SavingBesideSearchesAndWritersGivesAWholeFileEachTime) {
  HnswOptions options = Options();
  options.background = true;
  const auto index = Built(options, 1000);
  std::atomic<bool> stop{false};
  std::thread searcher([&] {
    const std::vector<float> queries = RandomVectors(4, 8);
    while (!stop) EXPECT_TRUE(index->Search(queries, 10, {}).ok());
  });
  std::thread writer([&] {
    for (int seed = 10; !stop; ++seed) {
      EXPECT_TRUE(index->Upsert(RandomVectors(20, seed), Ids(seed % 50 * 20, 20)).ok());
      EXPECT_TRUE(index->Delete(Ids(seed % 31 * 10, 5)).ok());
    }
  });
  for (int i = 0; i < 10; ++i) {
    EXPECT_TRUE(index->Save(path_).ok());
    const auto opened = HnswIndex::Open(path_);
    EXPECT_TRUE(opened.ok()) << opened.status();
  }
  stop = true;
  searcher.join();
  writer.join();
}

}  // namespace
}  // namespace stepwell::index
