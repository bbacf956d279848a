// Bad files: damaged, cut, and made by an enemy who can compute checksums.
#include "cc/index/index_file.h"

#include <cstdio>
#include <fstream>
#include <functional>
#include <iterator>
#include <numeric>

#include "cc/index/hnsw_index.h"
#include "cc/index/index_file_layout.h"
#include "gtest/gtest.h"

namespace stepwell::index {
namespace {

constexpr int64_t kDim = 8, kItems = 300, kM = 4;

class IndexFileTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = testing::TempDir() + "/index_file_test_" +
            testing::UnitTest::GetInstance()->current_test_info()->name();
    std::vector<float> vectors(kItems * kDim);
    for (size_t i = 0; i < vectors.size(); ++i) {
      vectors[i] = static_cast<float>((i * 7919 + i / kDim) % 101) - 50.0f;
    }
    std::vector<int64_t> ids(kItems);
    std::iota(ids.begin(), ids.end(), 0);
    HnswOptions options{.dim = kDim, .metric = Metric::kL2, .m = kM};
    const auto index = *HnswIndex::Build(vectors, ids, options);
    ASSERT_TRUE(index->Delete({1, 2}).ok());
    ASSERT_TRUE(index->Save(path_).ok());
    std::ifstream file(path_, std::ios::binary);
    good_.assign(std::istreambuf_iterator<char>(file), {});
    std::memcpy(&header_, good_.data(), sizeof(header_));
    entries_.resize(header_.num_sections);
    std::memcpy(entries_.data(), &good_[sizeof(header_)],
                entries_.size() * sizeof(SectionEntry));
  }

  void TearDown() override { std::remove(path_.c_str()); }

  absl::Status OpenBytes(const std::string& bytes) {
    std::ofstream(path_, std::ios::binary | std::ios::trunc) << bytes;
    return HnswIndex::Open(path_).status();
  }

  SectionEntry& Entry(Section section) {
    for (SectionEntry& entry : entries_) {
      if (entry.section == section) return entry;
    }
    std::abort();
  }

  // The good file with `header_` and `entries_` as they are now, checksums made
  // right.
  std::string Sealed(std::string bytes) {
    for (SectionEntry& entry : entries_) {
      if (entry.offset > bytes.size() || entry.size > bytes.size() - entry.offset) {
        continue;
      }
      entry.crc32c = ExtendCrc32c(0, &bytes[entry.offset], entry.size);
    }
    header_.crc32c = HeaderChecksum(header_, entries_);
    std::memcpy(bytes.data(), &header_, sizeof(header_));
    std::memcpy(&bytes[sizeof(header_)], entries_.data(),
                entries_.size() * sizeof(SectionEntry));
    return bytes;
  }

  void ExpectRefused(const std::string& bytes, const std::string& reason) {
    const absl::Status status = OpenBytes(bytes);
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status << reason;
    EXPECT_NE(status.message().find(reason), absl::string_view::npos) << status;
  }

  // Writes `value` at `offset` of a section and seals the file.
  template <typename T>
  std::string WithValue(Section section, uint64_t offset, T value) {
    std::string bytes = good_;
    std::memcpy(&bytes[Entry(section).offset + offset], &value, sizeof(value));
    return Sealed(bytes);
  }

  std::string path_;
  std::string good_;
  RawHeader header_;
  std::vector<SectionEntry> entries_;
};

TEST_F(IndexFileTest, TheUnchangedFileOpensAndSealsToItself) {
  EXPECT_EQ(Sealed(good_), good_);
  EXPECT_TRUE(OpenBytes(good_).ok());
}

TEST_F(IndexFileTest, AFlippedBitInEveryByteIsFound) {
  for (size_t at = 0; at < good_.size(); ++at) {
    std::string bytes = good_;
    bytes[at] ^= static_cast<char>(1 << (at % 8));
    ASSERT_EQ(OpenBytes(bytes).code(), absl::StatusCode::kDataLoss) << at;
  }
}

TEST_F(IndexFileTest, ACutAtEveryEdgeOfASectionIsFound) {
  std::vector<uint64_t> cuts = {0,
                                1,
                                sizeof(RawHeader) - 1,
                                sizeof(RawHeader),
                                EndOfTable(entries_.size()),
                                good_.size() - 1};
  for (const SectionEntry& entry : entries_) {
    for (uint64_t cut : {entry.offset, entry.offset + 1, entry.offset + entry.size - 1,
                         entry.offset + entry.size}) {
      if (cut < good_.size()) cuts.push_back(cut);
    }
  }
  for (uint64_t cut : cuts) {
    EXPECT_EQ(OpenBytes(good_.substr(0, cut)).code(), absl::StatusCode::kDataLoss)
        << cut;
  }
}

TEST_F(IndexFileTest, CountsThatTheFileCannotHoldAreRefusedBeforeAllocation) {
  const RawHeader good = header_;
  const std::pair<std::function<void(RawHeader&)>, const char*> crafted[] = {
      {[](RawHeader& h) { h.count = uint64_t{1} << 62; }, "count"},
      {[](RawHeader& h) { h.count = kMaxItems; }, "bytes"},
      {[](RawHeader& h) { h.count = kItems + 1; }, "bytes"},
      {[](RawHeader& h) { h.dim = 0; }, "dim 0"},
      {[](RawHeader& h) { h.dim = 0xFFFFFFFF; }, "dim"},
      {[](RawHeader& h) { h.m = 0; }, "M is 0"},
      {[](RawHeader& h) { h.m = 0xFFFFFFFF; }, "M is"},
      {[](RawHeader& h) { h.m = 5; }, "bytes"},
      {[](RawHeader& h) { h.ef_construction = 0; }, "ef_construction is 0"},
      {[](RawHeader& h) { h.metric = 9; }, "metric number 9"},
      {[](RawHeader& h) { h.kind = 9; }, "unknown kind"},
      {[](RawHeader& h) { h.max_level = 1 << 30; }, "entry node"},
      {[](RawHeader& h) { h.max_level = -1; }, "entry node"},
      {[](RawHeader& h) { h.entry_row = kItems; }, "entry node"},
      {[](RawHeader& h) { h.entry_row = 0xFFFFFFFF; }, "entry node"},
      {[](RawHeader& h) { h.num_sections = 0; }, ""},
  };
  for (const auto& [change, reason] : crafted) {
    header_ = good;
    change(header_);
    ExpectRefused(Sealed(good_), reason);
  }
}

TEST_F(IndexFileTest, SectionsOutsideOrOverEachOtherAreRefused) {
  const std::vector<SectionEntry> good = entries_;
  const std::function<void(SectionEntry&)> crafted[] = {
      [](SectionEntry& e) { e.offset = ~uint64_t{0} - 63; },
      [](SectionEntry& e) { e.offset = 0; },
      [](SectionEntry& e) { e.offset += 64; },
      [](SectionEntry& e) { e.offset += 1; },
      [](SectionEntry& e) { e.size = ~uint64_t{0}; },
      [](SectionEntry& e) { e.size += 1; },
      [](SectionEntry& e) { e.size = 0; },
      [](SectionEntry& e) { e.section = static_cast<Section>(99); },
  };
  for (const auto& change : crafted) {
    for (size_t i = 0; i < good.size(); ++i) {
      entries_ = good;
      change(entries_[i]);
      EXPECT_EQ(OpenBytes(Sealed(good_)).code(), absl::StatusCode::kDataLoss) << i;
    }
  }
}

TEST_F(IndexFileTest, LinksToNowhereAreRefused) {
  constexpr uint64_t kBaseRow = (1 + 2 * kM) * sizeof(uint32_t);
  ExpectRefused(WithValue<uint32_t>(Section::kBaseLinks, 0, 2 * kM + 1), "links on");
  ExpectRefused(WithValue<uint32_t>(Section::kBaseLinks, 0, 0xFFFFFFFF), "links on");
  ExpectRefused(WithValue<uint32_t>(Section::kBaseLinks, 4, kItems), "no such node");
  ExpectRefused(WithValue<uint32_t>(Section::kBaseLinks, kBaseRow + 4, 1),
                "no such node");
  ExpectRefused(WithValue<uint32_t>(Section::kUpperLinks, 0, kM + 1), "links on");
  ExpectRefused(WithValue<uint32_t>(Section::kUpperLinks, 4, 0xFFFFFFFF),
                "no such node");
}

TEST_F(IndexFileTest, LevelsThatDoNotFitTheirLinksAreRefused) {
  ExpectRefused(WithValue<uint8_t>(Section::kLevels, 0, 255), "");
  header_.max_level = 255;
  header_.entry_row = 0;
  ExpectRefused(WithValue<uint8_t>(Section::kLevels, 0, 255), "upper links");
}

TEST_F(IndexFileTest, RowsThatAreNoItemsAreRefused) {
  ExpectRefused(WithValue<int64_t>(Section::kLabels, 0, -5), "ids has -5");
  ExpectRefused(WithValue<int64_t>(Section::kLabels, 0, 7), "twice");
  ExpectRefused(WithValue<uint32_t>(Section::kVectors, 0, 0x7FC00000), "not finite");
}

TEST_F(IndexFileTest, ANewerFormatIsNamedAndNotRead) {
  header_.version = 2;
  const absl::Status status = OpenBytes(Sealed(good_));
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(status.message().find("version 2"), absl::string_view::npos);
}

TEST_F(IndexFileTest, ADirectoryIsNoIndex) {
  EXPECT_EQ(HnswIndex::Open(testing::TempDir()).status().code(),
            absl::StatusCode::kDataLoss);
}

TEST_F(IndexFileTest, AWriterThatIsDroppedLeavesNothing) {
  {
    const auto writer = *IndexFileWriter::Create(path_ + "_dropped");
  }
  EXPECT_FALSE(std::ifstream(path_ + "_dropped").good());
}

}  // namespace
}  // namespace stepwell::index
