// Bad files: damaged, cut, and made by an enemy who can compute checksums.
#include "cc/index/index_file_view.h"

#include <cstring>
#include <limits>
#include <memory>
#include <new>

#include "cc/base/crc32c.h"
#include "cc/index/index_file_sample.h"
#include "gtest/gtest.h"

namespace stepwell::index {
namespace {

// Memory of exactly that size, so that a sanitizer sees the first byte outside.
class AlignedBytes {
 public:
  explicit AlignedBytes(const std::string& bytes)
      : size_(bytes.size()),
        memory_(static_cast<char*>(
            ::operator new(bytes.size(), std::align_val_t(kIndexFileAlignment)))) {
    std::memcpy(memory_.get(), bytes.data(), size_);
  }
  absl::Span<const char> bytes() const { return {memory_.get(), size_}; }

 private:
  struct Free {
    void operator()(char* memory) const {
      ::operator delete(memory, std::align_val_t(kIndexFileAlignment));
    }
  };
  const size_t size_;
  const std::unique_ptr<char, Free> memory_;
};

absl::Status Check(const std::string& file, int num_threads = 1) {
  const AlignedBytes bytes(file);
  const absl::StatusOr<IndexFileView> view = IndexFileView::Parse(bytes.bytes());
  return view.ok() ? CheckIndexFileContent(*view, num_threads) : view.status();
}

void ExpectRefused(const std::string& file, const std::string& reason) {
  for (int num_threads : {1, 3}) {
    const absl::Status status = Check(file, num_threads);
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status << reason;
    EXPECT_NE(status.message().find(reason), absl::string_view::npos)
        << status << ", expected: " << reason;
  }
}

RawIndexHeader HeaderOf(const std::string& file) {
  RawIndexHeader raw;
  std::memcpy(&raw, file.data(), sizeof(raw));
  return raw;
}

// `file` with another header, checksums made right.
std::string WithHeader(std::string file, void (*change)(RawIndexHeader&)) {
  RawIndexHeader raw = HeaderOf(file);
  change(raw);
  std::memcpy(file.data(), &raw, sizeof(raw));
  MendIndexFile(file);
  return file;
}

// `file` with another number in a section, checksums made right.
template <typename T>
std::string WithValue(std::string file, IndexSection section, int64_t at, T value) {
  const IndexFileLayout layout(FromRaw(HeaderOf(file)));
  std::memcpy(
      &file[layout.payload_offset() + layout.extent(section).offset + at * sizeof(T)],
      &value, sizeof(T));
  MendIndexFile(file);
  return file;
}

std::vector<SampleOptions> EverySample() {
  std::vector<SampleOptions> samples = {{.kind = IndexFileKind::kFlat},
                                        {.kind = IndexFileKind::kFlat, .num_nodes = 0},
                                        {.num_nodes = 0},
                                        {.num_nodes = 1},
                                        {.has_free_nodes = true}};
  for (Metric metric : {Metric::kInnerProduct, Metric::kCosine, Metric::kL2}) {
    for (CodeKind codes : {CodeKind::kFloat32, CodeKind::kBfloat16, CodeKind::kInt8}) {
      for (bool keep : {false, true}) {
        samples.push_back({.metric = metric, .codes = codes, .keep_vectors = keep});
      }
    }
  }
  return samples;
}

TEST(IndexFileViewTest, WholeFilesOfEveryKindAreTakenAndMendToThemselves) {
  for (const SampleOptions& options : EverySample()) {
    const std::string file = SampleIndexFile(options);
    std::string mended = file;
    MendIndexFile(mended);
    EXPECT_EQ(mended, file);
    for (int num_threads : {1, 2, 4}) {
      const absl::Status status = Check(file, num_threads);
      EXPECT_TRUE(status.ok()) << status;
    }
  }
}

TEST(IndexFileViewTest, AFlippedBitInEveryByteIsFound) {
  for (const SampleOptions& options :
       {SampleOptions{}, {.kind = IndexFileKind::kFlat}, {.has_free_nodes = true}}) {
    const std::string file = SampleIndexFile(options);
    for (size_t at = 0; at < file.size(); ++at) {
      std::string bytes = file;
      bytes[at] ^= static_cast<char>(1 << (at % 8));
      ASSERT_EQ(Check(bytes).code(), absl::StatusCode::kDataLoss) << at;
    }
  }
}

TEST(IndexFileViewTest, DamageIsNamedByItsFirstBlockWhateverTheRowsThenHold) {
  const std::string file = SampleIndexFile({});
  const IndexFileLayout layout(FromRaw(HeaderOf(file)));
  const auto damaged_at = [&](IndexSection section) {
    std::string bytes = file;
    bytes[layout.payload_offset() + layout.extent(section).offset] ^= '\x80';
    return bytes;
  };
  ExpectRefused(damaged_at(IndexSection::kLabels), "block 0 (labels;");
  ExpectRefused(damaged_at(IndexSection::kLevels), "levels");
  ExpectRefused(damaged_at(IndexSection::kNodesByLabel), "nodes_by_label");
  ExpectRefused(damaged_at(IndexSection::kBaseLinks), "base_links");
  ExpectRefused(damaged_at(IndexSection::kUpperLinks), "upper_links");
  ExpectRefused(damaged_at(IndexSection::kCodes), "codes");
  ExpectRefused(damaged_at(IndexSection::kVectors), "vectors");
}

TEST(IndexFileViewTest, ACutAtEveryEdgeOfABlockAndBesideItIsFound) {
  const std::string file = SampleIndexFile({});
  const IndexFileLayout layout(FromRaw(HeaderOf(file)));
  std::vector<uint64_t> cuts = {0, 1, sizeof(RawIndexHeader) - 1,
                                sizeof(RawIndexHeader), sizeof(RawIndexHeader) + 1};
  for (uint64_t block = 0; block <= layout.num_blocks(); ++block) {
    const uint64_t edge = layout.payload_offset() + block * 256;
    for (uint64_t cut : {edge - 1, edge, edge + 1}) {
      if (cut < file.size()) cuts.push_back(cut);
    }
  }
  for (uint64_t cut : cuts) {
    std::string bytes = file.substr(0, cut);
    EXPECT_EQ(Check(bytes).code(), absl::StatusCode::kDataLoss) << cut;
    MendIndexFile(bytes);
    EXPECT_EQ(Check(bytes).code(), absl::StatusCode::kDataLoss) << cut;
  }
  ExpectRefused(file + '\0', "bytes, its header asks for");
}

TEST(IndexFileViewTest, HeadersWithRightChecksumsThatNoIndexHasAreRefused) {
  const std::string file = SampleIndexFile({});
  const std::pair<void (*)(RawIndexHeader&), const char*> crafted[] = {
      {[](RawIndexHeader& h) { h.kind = 0; }, "kind is 0"},
      {[](RawIndexHeader& h) { h.kind = 1; }, "fields of a graph"},
      {[](RawIndexHeader& h) { h.metric = 9; }, "metric number 9"},
      {[](RawIndexHeader& h) { h.codes = 3; }, "code kind is 3"},
      {[](RawIndexHeader& h) { h.codes = 0; }, "vectors beside float32"},
      {[](RawIndexHeader& h) { h.keep_vectors = 2; }, "reserved"},
      {[](RawIndexHeader& h) { h.keep_limit = 2; }, "reserved"},
      {[](RawIndexHeader& h) { h.dim = 0; }, "dim is 0"},
      {[](RawIndexHeader& h) { h.dim = 0xFFFFFFFF; }, "dim is 4294967295"},
      {[](RawIndexHeader& h) { h.dim = 6; }, "header asks for"},
      {[](RawIndexHeader& h) { h.m = 0; }, "M is 0"},
      {[](RawIndexHeader& h) { h.m = 0x80000000; }, "M is 2147483648"},
      {[](RawIndexHeader& h) { h.m = 4; }, "header asks for"},
      {[](RawIndexHeader& h) { h.ef_construction = 0; }, "ef_construction is 0"},
      {[](RawIndexHeader& h) { h.code_stride = 0; }, "code_stride is 0"},
      {[](RawIndexHeader& h) { h.code_stride = 0xFFFFFFF0; }, "code_stride"},
      {[](RawIndexHeader& h) { h.code_stride = 32; }, "code_stride is 32"},
      {[](RawIndexHeader& h) { h.code_limit = 0; }, "limit"},
      {[](RawIndexHeader& h) { h.code_limit = -1; }, "limit"},
      {[](RawIndexHeader& h) { h.code_limit = 3e38f; }, "limit"},
      {[](RawIndexHeader& h) {
         h.code_limit = std::numeric_limits<float>::quiet_NaN();
       },
       "limit"},
      {[](RawIndexHeader& h) { h.num_nodes = uint64_t{1} << 31; }, "nodes is 2147"},
      {[](RawIndexHeader& h) { h.num_nodes = kMaxItems; }, "header asks for"},
      {[](RawIndexHeader& h) { h.num_nodes = uint64_t{1} << 63; }, "nodes is -1"},
      {[](RawIndexHeader& h) { h.num_nodes = ~uint64_t{0} / 3; }, "nodes is"},
      {[](RawIndexHeader& h) { h.num_nodes = 39; }, "items is 40"},
      {[](RawIndexHeader& h) { h.num_nodes = 41; }, "header asks for"},
      {[](RawIndexHeader& h) { h.num_items = uint64_t{1} << 63; }, "items is -1"},
      {[](RawIndexHeader& h) { h.num_items = 0; }, "header asks for"},
      {[](RawIndexHeader& h) { h.num_upper_lists = ~uint64_t{0}; }, "upper lists"},
      {[](RawIndexHeader& h) { h.num_upper_lists = 40 * 31 + 1; }, "upper lists"},
      {[](RawIndexHeader& h) { h.num_upper_lists = 40 * 31; }, "header asks for"},
      {[](RawIndexHeader& h) { h.entry_node = 40; }, "entry node is 40"},
      {[](RawIndexHeader& h) { h.entry_node = kNoNode; }, "entry node is"},
      {[](RawIndexHeader& h) { h.entry_node = 0; }, "reach level 2"},
      {[](RawIndexHeader& h) { h.max_level = -1; }, "max_level is -1"},
      {[](RawIndexHeader& h) { h.max_level = 32; }, "max_level is 32"},
      {[](RawIndexHeader& h) { h.max_level = 31; }, "reach level 31"},
      {[](RawIndexHeader& h) { h.block_bytes = 0; }, "block_bytes is 0"},
      {[](RawIndexHeader& h) { h.block_bytes = 65; }, "not a power of two"},
      {[](RawIndexHeader& h) { h.block_bytes = uint32_t{1} << 31; }, "block_bytes"},
      {[](RawIndexHeader& h) { h.block_bytes = 64; }, "header asks for"},
      {[](RawIndexHeader& h) { h.reserved[3] = 1; }, "reserved"},
      {[](RawIndexHeader& h) { h.reserved_too[0] = 1; }, "reserved"},
  };
  for (const auto& [change, reason] : crafted) {
    ExpectRefused(WithHeader(file, change), reason);
  }
}

TEST(IndexFileViewTest, AHeaderThatHidesItsSizeIsRefused) {
  std::string file = SampleIndexFile({});
  RawIndexHeader raw = HeaderOf(file);
  raw.file_bytes += 1;
  raw.header_crc32c = HeaderCrc32c(raw);
  std::memcpy(file.data(), &raw, sizeof(raw));
  ExpectRefused(file, "header asks for");
}

TEST(IndexFileViewTest, LinksToNowhereAreRefused) {
  const std::string full = SampleIndexFile({});
  const std::string gaps = SampleIndexFile({.has_free_nodes = true});
  const auto base = IndexSection::kBaseLinks, upper = IndexSection::kUpperLinks;
  for (const std::string& file : {full, gaps}) {
    ExpectRefused(WithValue<uint32_t>(file, base, 0, 40), "node 0 links to 40");
    ExpectRefused(WithValue<uint32_t>(file, base, 0, 0), "node 0 links to 0");
    ExpectRefused(WithValue<uint32_t>(file, base, 0, 0x80000000), "no such node");
    ExpectRefused(WithValue<uint32_t>(file, base, 0, 0xFFFFFFFE), "no such node");
    ExpectRefused(WithValue<uint32_t>(file, base, 0, kNoNode), "behind the end");
    ExpectRefused(WithValue<uint32_t>(file, base, 6 * 39 + 4, 39), "node 39 links");
    ExpectRefused(WithValue<uint32_t>(file, base, 5, 77), "node 0 links to 77");
    ExpectRefused(WithValue<uint32_t>(file, upper, 0, 40), "links to 40 on level 1");
    // Node 3 is on level 0 only.
    ExpectRefused(WithValue<uint32_t>(file, upper, 0, 3), "no such node");
    ExpectRefused(WithValue<uint32_t>(file, upper, 1, kNoNode - 1), "no such node");
  }
  // Node 6 of that file holds no item: an upsert may write there.
  ExpectRefused(WithValue<uint32_t>(gaps, base, 0, 6), "node 0 links to 6");
  ExpectRefused(WithValue<uint32_t>(gaps, upper, 0, 20), "links to 20 on level 1");
}

TEST(IndexFileViewTest, LevelsThatDoNotFitTheListsAreRefused) {
  const std::string file = SampleIndexFile({});
  const auto levels = IndexSection::kLevels;
  ExpectRefused(WithValue<uint8_t>(file, levels, 0, 32), "level of node 0 is 32");
  ExpectRefused(WithValue<uint8_t>(file, levels, 0, 255), "level of node 0 is 255");
  ExpectRefused(WithValue<uint8_t>(file, levels, 39, 1), "levels ask for");
  ExpectRefused(WithValue<uint8_t>(file, levels, 2, 1), "");
}

TEST(IndexFileViewTest, LabelsThatAreNoIdsOrTwiceAreRefused) {
  for (IndexFileKind kind : {IndexFileKind::kFlat, IndexFileKind::kHnsw}) {
    const std::string file = SampleIndexFile({.kind = kind});
    const auto labels = IndexSection::kLabels, places = IndexSection::kNodesByLabel;
    ExpectRefused(WithValue<int64_t>(file, labels, 1, -5), "label of node 1 is -5");
    ExpectRefused(WithValue<int64_t>(file, labels, 1, kDeadLabel), "follow");
    ExpectRefused(WithValue<int64_t>(file, labels, 1, kNoLabel), "follow");
    ExpectRefused(
        WithValue<int64_t>(file, labels, 1, std::numeric_limits<int64_t>::min()), "");
    // Node 2 has 380.
    ExpectRefused(WithValue<int64_t>(file, labels, 1, 380), "twice");
    ExpectRefused(WithValue<uint32_t>(file, places, 0, 40), "of nodes_by_label is 40");
    ExpectRefused(WithValue<uint32_t>(file, places, 0, 38), "follow");
    ExpectRefused(WithValue<uint32_t>(file, places, 1, 39), "twice");
  }
  // A label in a node that the order does not name, among nodes that hold none.
  ExpectRefused(WithValue<int64_t>(SampleIndexFile({.has_free_nodes = true}),
                                   IndexSection::kLabels, 6, 1),
                "nodes have a label");
}

TEST(IndexFileViewTest, VectorsAndCodesThatGiveNoDistanceAreRefused) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float inf = std::numeric_limits<float>::infinity();
  for (const SampleOptions& options :
       {SampleOptions{}, {.kind = IndexFileKind::kFlat}, {.metric = Metric::kL2}}) {
    const std::string file = SampleIndexFile(options);
    for (float value : {nan, inf, -inf, 3e38f}) {
      ExpectRefused(WithValue<float>(file, IndexSection::kVectors, 7, value),
                    "vector of node 1");
    }
  }
  const auto codes = IndexSection::kCodes;
  const std::string floats = SampleIndexFile({.codes = CodeKind::kFloat32});
  ExpectRefused(WithValue<float>(floats, codes, 0, nan), "code of node 0");
  const std::string halves = SampleIndexFile({.codes = CodeKind::kBfloat16});
  ExpectRefused(WithValue<uint16_t>(halves, codes, 0, 0x7F80), "code of node 0");
  ExpectRefused(WithValue<uint16_t>(halves, codes, 0, 0x7F7F), "code of node 0");
  // 16 bytes of coordinates, then the norm.
  const std::string norms = SampleIndexFile({.metric = Metric::kL2});
  ExpectRefused(WithValue<float>(norms, codes, 4, nan), "code of node 0");
  ExpectRefused(WithValue<float>(norms, codes, 4, -1), "code of node 0");
  ExpectRefused(WithValue<float>(norms, codes, 5, 1), "behind the code of node 0");
}

TEST(IndexFileViewTest, AZeroVectorIsRefusedUnderCosineAlone) {
  for (Metric metric : {Metric::kCosine, Metric::kInnerProduct}) {
    std::string file = SampleIndexFile({.metric = metric});
    for (int64_t i = 0; i < 5; ++i) {
      file = WithValue<float>(file, IndexSection::kVectors, i, 0);
    }
    EXPECT_EQ(Check(file).ok(), metric == Metric::kInnerProduct);
  }
}

TEST(IndexFileViewTest, WhatAFreePlaceHoldsDoesNotMatterButADeadNodeIsWalkedOver) {
  const std::string file = SampleIndexFile({.has_free_nodes = true});
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto vectors = IndexSection::kVectors;
  EXPECT_TRUE(Check(WithValue<float>(file, vectors, 6 * 5, nan)).ok());
  ExpectRefused(WithValue<float>(file, vectors, 5 * 5, nan), "vector of node 5");
}

TEST(IndexFileViewTest, AGraphOfDeadNodesAloneMayHaveAnEntry) {
  std::string file = SampleIndexFile({.has_free_nodes = true, .num_nodes = 7});
  for (int64_t node = 0; node < 5; ++node) {
    file = WithValue<int64_t>(file, IndexSection::kLabels, node, kDeadLabel);
  }
  // Without places of nodes_by_label the file is 64 bytes shorter, as sections are
  // aligned.
  const IndexFileLayout layout(FromRaw(HeaderOf(file)));
  file.erase(
      layout.payload_offset() + layout.extent(IndexSection::kNodesByLabel).offset, 64);
  const absl::Status status =
      Check(WithHeader(file, [](RawIndexHeader& h) { h.num_items = 0; }));
  EXPECT_TRUE(status.ok()) << status;
}

TEST(IndexFileViewTest, AnotherFormatIsNamedAndNotRead) {
  const absl::Status newer =
      Check(WithHeader(SampleIndexFile({}), [](RawIndexHeader& h) { h.version = 3; }));
  EXPECT_EQ(newer.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(newer.message(), "format version 3, this program reads version 2");
}

TEST(IndexFileViewTest, AFileOfTheFirstVersionIsNamedAndNotRead) {
  // An empty flat index as version 1 wrote it: 96 bytes of header, no section, zeros.
  std::string file(512, '\0');
  const uint32_t version = 1;
  std::memcpy(&file[0], "STEPWIDX", 8);
  std::memcpy(&file[8], &version, sizeof(version));
  const uint32_t crc = ExtendCrc32c(0, file.data(), 96);
  std::memcpy(&file[92], &crc, sizeof(crc));
  const absl::Status status = Check(file);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(status.message(), "format version 1, this program reads version 2");
  file[20] = 1;
  ExpectRefused(file, "wrong checksum of the header");
}

}  // namespace
}  // namespace stepwell::index
