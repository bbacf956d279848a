// Files that hnswlib itself writes, and what an enemy makes of them.
#include "cc/index/hnswlib_import.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <memory>
#include <random>
#include <set>
#include <string>

#include "cc/index/flat_index.h"
#include "cc/index/hnsw_index.h"
#include "gtest/gtest.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wunused-function"
#include "hnswlib/hnswlib.h"
#pragma GCC diagnostic pop

namespace stepwell::index {
namespace {

constexpr int64_t kDim = 12, kItems = 1000, kM = 6, kEf = 60, kK = 10;
constexpr size_t kElementBytes = 4 + 2 * kM * 4 + kDim * 4 + 8;

std::vector<float> RandomVectors(int64_t num_rows, int seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> vectors(num_rows * kDim);
  for (float& value : vectors) value = normal(random);
  return vectors;
}

class HnswlibImportTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = testing::TempDir() + "/hnswlib_import_test_" +
            testing::UnitTest::GetInstance()->current_test_info()->name();
    for (int64_t i = 0; i < kItems; ++i) {
      hnsw_.addPoint(&vectors_[i * kDim], static_cast<size_t>(10 * i + 3));
    }
  }
  void TearDown() override { std::remove(path_.c_str()); }

  std::string Saved() {
    hnsw_.saveIndex(path_);
    std::ifstream file(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  absl::StatusOr<std::unique_ptr<HnswIndex>> Import(CodeKind codes = CodeKind::kFloat32,
                                                    bool keep_vectors = true) {
    HnswOptions options{.dim = kDim, .metric = Metric::kL2};
    options.codes = codes;
    options.keep_vectors = keep_vectors;
    return HnswIndex::ImportHnswlib(path_, options);
  }

  absl::Status ImportBytes(const std::string& bytes) {
    std::ofstream(path_, std::ios::binary | std::ios::trunc) << bytes;
    return Import().status();
  }

  void ExpectRefused(const std::string& bytes, const std::string& reason) {
    const absl::Status status = ImportBytes(bytes);
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status << reason;
    EXPECT_NE(status.message().find(reason), absl::string_view::npos)
        << status << ", expected: " << reason;
  }

  // Share of the exact kK nearest that hnswlib's own search finds.
  double HnswlibRecall(const std::vector<float>& queries, const SearchResult& truth) {
    hnsw_.setEf(kEf);
    int64_t found = 0;
    for (int64_t query = 0; query < truth.num_queries; ++query) {
      auto nearest = hnsw_.searchKnn(&queries[query * kDim], kK);
      const int64_t* exact = &truth.ids[query * kK];
      for (; !nearest.empty(); nearest.pop()) {
        const auto id = static_cast<int64_t>(nearest.top().second);
        found += std::count(exact, exact + kK, id);
      }
    }
    return static_cast<double>(found) / static_cast<double>(truth.ids.size());
  }

  static double Recall(const SearchResult& result, const SearchResult& truth) {
    int64_t found = 0;
    for (size_t at = 0; at < truth.ids.size(); at += kK) {
      for (size_t i = at; i < at + kK; ++i) {
        found += std::count(&truth.ids[at], &truth.ids[at] + kK, result.ids[i]);
      }
    }
    return static_cast<double>(found) / static_cast<double>(truth.ids.size());
  }

  std::string path_;
  const std::vector<float> vectors_ = RandomVectors(kItems, 1);
  hnswlib::L2Space space_{kDim};
  hnswlib::HierarchicalNSW<float> hnsw_{&space_, kItems, kM, 100};
};

TEST_F(HnswlibImportTest, AnswersAreAsGoodAsHnswlibsAndTheFilesGraphIsKept) {
  Saved();
  std::vector<int64_t> ids(kItems);
  for (int64_t i = 0; i < kItems; ++i) ids[i] = 10 * i + 3;
  const auto exact = *FlatIndex::Build(vectors_, ids, {kDim, Metric::kL2});
  const std::vector<float> queries = RandomVectors(100, 2);
  const SearchResult truth = *exact->Search(queries, kK, {});
  SearchOptions options;
  options.ef_search = kEf;
  for (CodeKind codes : {CodeKind::kFloat32, CodeKind::kBfloat16, CodeKind::kInt8}) {
    const auto index = Import(codes);
    ASSERT_TRUE(index.ok()) << index.status();
    const IndexStats stats = (*index)->Stats();
    EXPECT_EQ(stats.num_items, kItems);
    EXPECT_EQ(stats.m, kM);
    EXPECT_EQ(stats.ef_construction, 100);
    const SearchResult found = *(*index)->Search(queries, kK, options);
    EXPECT_GE(Recall(found, truth), HnswlibRecall(queries, truth) - 0.01);
  }
}

TEST_F(HnswlibImportTest, AnImportedIndexIsSavedAndWrittenToLikeAnyOther) {
  Saved();
  const auto index = *Import(CodeKind::kInt8, false);
  const std::vector<float> added = RandomVectors(50, 3);
  std::vector<int64_t> ids(50);
  for (int64_t i = 0; i < 50; ++i) ids[i] = 10 * i;
  ASSERT_TRUE(index->Upsert(added, ids).ok());
  const std::string saved = path_ + "_saved";
  ASSERT_TRUE(index->Save(saved).ok());
  const auto opened = HnswIndex::Open(saved);
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ((*opened)->Ids(), index->Ids());
  EXPECT_EQ((*opened)->Stats().num_items, kItems + 50);
  std::remove(saved.c_str());
}

TEST_F(HnswlibImportTest, DeletedElementsLeadTheWayAndAreNeverReturned) {
  std::set<int64_t> deleted;
  for (int64_t i = 0; i < kItems; i += 3) {
    hnsw_.markDelete(static_cast<size_t>(10 * i + 3));
    deleted.insert(10 * i + 3);
  }
  Saved();
  const auto index = *Import();
  EXPECT_EQ(index->Stats().num_items, kItems - static_cast<int64_t>(deleted.size()));
  EXPECT_EQ(index->Stats().num_deleted, static_cast<int64_t>(deleted.size()));
  SearchOptions options;
  options.ef_search = 1000;
  const SearchResult found = *index->Search(RandomVectors(50, 2), 100, options);
  for (int64_t id : found.ids) EXPECT_EQ(deleted.count(id), 0u) << id;
  EXPECT_EQ(found.counts[0], 100);
}

TEST_F(HnswlibImportTest, CosineNormsTheVectorsAndRefusesAZeroOne) {
  std::string file = Saved();
  HnswOptions options{.dim = kDim, .metric = Metric::kCosine};
  const auto index = HnswIndex::ImportHnswlib(path_, options);
  ASSERT_TRUE(index.ok()) << index.status();
  std::vector<float> vector(kDim);
  ASSERT_TRUE((*index)->Vectors({3}, vector.data()).ok());
  float squares = 0;
  for (float value : vector) squares += value * value;
  EXPECT_NEAR(squares, 1, 1e-5);
  std::memset(&file[96 + 4 + 2 * kM * 4], 0, kDim * 4);
  std::ofstream(path_, std::ios::binary | std::ios::trunc) << file;
  EXPECT_EQ(HnswIndex::ImportHnswlib(path_, options).status().code(),
            absl::StatusCode::kDataLoss);
}

TEST_F(HnswlibImportTest, AnEmptyIndexIsImported) {
  hnswlib::HierarchicalNSW<float>(&space_, 10, kM, 100).saveIndex(path_);
  const auto index = Import();
  ASSERT_TRUE(index.ok()) << index.status();
  EXPECT_EQ((*(*index)->Search(vectors_, 3, {})).counts[0], 0);
  ASSERT_TRUE((*index)->Upsert(RandomVectors(1, 1), {7}).ok());
  EXPECT_EQ((*index)->Ids(), std::vector<int64_t>{7});
}

TEST_F(HnswlibImportTest, AnotherDimOrListsOfOtherSizesAreNamed) {
  std::string file = Saved();
  HnswOptions options{.dim = kDim + 1, .metric = Metric::kL2};
  const absl::Status dim = HnswIndex::ImportHnswlib(path_, options).status();
  EXPECT_EQ(dim.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(dim.message().find("dim 13"), absl::string_view::npos) << dim;
  for (uint64_t m : {uint64_t{0}, uint64_t{1}, uint64_t{129}, uint64_t{1} << 63}) {
    std::memcpy(&file[56], &m, sizeof(m));
    std::memcpy(&file[72], &m, sizeof(m));
    EXPECT_EQ(ImportBytes(file).code(), absl::StatusCode::kFailedPrecondition) << m;
  }
}

TEST_F(HnswlibImportTest, CountsThatTheFileCannotHoldAreRefusedBeforeAllocation) {
  const std::string file = Saved();
  const auto with = [&file](size_t offset, auto value) {
    std::string bytes = file;
    std::memcpy(&bytes[offset], &value, sizeof(value));
    return bytes;
  };
  for (uint64_t huge : {~uint64_t{0}, uint64_t{1} << 63, uint64_t{1} << 31,
                        uint64_t{0x8000000000000000} / kElementBytes + 1}) {
    ExpectRefused(with(16, huge), "elements in");    // their number
    ExpectRefused(with(24, huge), "contradict");     // bytes of one
    ExpectRefused(with(32, huge), "contradict");     // where its label is
    ExpectRefused(with(40, huge), "contradict");     // where its vector is
    ExpectRefused(with(0, huge), "contradict");      // where they begin
    ExpectRefused(with(56, huge), "contradict");     // M of upper lists
    EXPECT_FALSE(ImportBytes(with(64, huge)).ok());  // M of level 0
  }
  ExpectRefused(with(8, uint64_t{999}), "made for 999");
  ExpectRefused(with(16, uint64_t{999}), "");
  ExpectRefused(with(16, uint64_t{0}), "lists end");
  ExpectRefused(with(48, int32_t{31}), "entry node");
  ExpectRefused(with(48, int32_t{-1}), "entry node");
  ExpectRefused(with(52, uint32_t{1000}), "entry node");
  ExpectRefused(with(52, ~uint32_t{0}), "entry node");
}

TEST_F(HnswlibImportTest, LinksLabelsAndVectorsAreChecked) {
  const std::string file = Saved();
  const auto with = [&file](size_t offset, auto value) {
    std::string bytes = file;
    std::memcpy(&bytes[96 + offset], &value, sizeof(value));
    return bytes;
  };
  const size_t vector = 4 + 2 * kM * 4, label = vector + kDim * 4;
  ExpectRefused(with(0, uint16_t{2 * kM + 1}), "the limit is 12");
  ExpectRefused(with(0, uint16_t{0xFFFF}), "65535 links");
  ExpectRefused(with(4, uint32_t{1000}), "links to 1000");
  ExpectRefused(with(4, ~uint32_t{0}), "no such element");
  ExpectRefused(with(4, uint32_t{0}), "links to 0");
  ExpectRefused(with(label, uint64_t{1} << 63), "no id");
  ExpectRefused(with(label, uint64_t{13}), "label 13 twice");
  for (float value : {std::numeric_limits<float>::quiet_NaN(),
                      std::numeric_limits<float>::infinity(), 3e38f}) {
    ExpectRefused(with(vector, value), "vector of element 0");
  }
  const size_t upper = kItems * kElementBytes;
  ExpectRefused(with(upper, ~uint32_t{0}), "bytes of lists");
  ExpectRefused(with(upper, uint32_t{5}), "bytes of lists");
  ExpectRefused(with(upper, uint32_t{32 * (4 + kM * 4)}), "bytes of lists");
}

TEST_F(HnswlibImportTest, LinksOfUpperLevelsMustReachThatLevel) {
  const std::string file = Saved();
  // Where a node with lists has them, and a node without any.
  size_t lists = 0, at = 96 + kItems * kElementBytes;
  uint32_t low = 0;
  for (uint32_t node = 0; node < kItems; ++node) {
    uint32_t bytes;
    std::memcpy(&bytes, &file[at], sizeof(bytes));
    at += sizeof(bytes);
    if (bytes == 0) low = node;
    if (bytes > 0) lists = at;
    at += bytes;
  }
  std::string crafted = file;
  std::memcpy(&crafted[lists + 4], &low, sizeof(low));
  ExpectRefused(crafted, "on level 1, which is no such element");
  crafted = file;
  crafted[lists] = kM + 1;
  ExpectRefused(crafted, "the limit is 6");
}

TEST_F(HnswlibImportTest, ACutAnywhereIsFound) {
  const std::string file = Saved();
  for (size_t cut = 0; cut < file.size(); cut += cut < 200 ? 1 : 997) {
    EXPECT_FALSE(ImportBytes(file.substr(0, cut)).ok()) << cut;
  }
  for (size_t less = 1; less < 10; ++less) {
    EXPECT_FALSE(ImportBytes(file.substr(0, file.size() - less)).ok()) << less;
  }
  ExpectRefused(file + '\0', "lists end");
}

TEST_F(HnswlibImportTest, WithoutAFileItIsNotFound) {
  EXPECT_EQ(HnswIndex::ImportHnswlib("/nowhere", {.dim = 1}).status().code(),
            absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace stepwell::index
