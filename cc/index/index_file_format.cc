#include "cc/index/index_file_format.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "cc/base/crc32c.h"
#include "cc/base/status_macros.h"

namespace stepwell::index {
namespace {

constexpr char kIndexFileMagic[8] = {'S', 'T', 'E', 'P', 'W', 'I', 'D', 'X'};
constexpr int64_t kSmallestBlock = 64;
constexpr int64_t kLargestBlock = int64_t{1} << 30;
constexpr int64_t kMostLinks = 128;
// GraphStorage numbers them in 32 bits.
constexpr int64_t kMostUpperLists = 0xFFFFFFFF;

constexpr uint64_t Aligned(uint64_t offset) {
  return (offset + kIndexFileAlignment - 1) / kIndexFileAlignment * kIndexFileAlignment;
}

absl::Status CheckField(absl::string_view field, int64_t value, int64_t low,
                        int64_t high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat(field, " is ", value, ", must be in [", low, ", ", high, "]"));
}

absl::Status CheckGraphFields(const IndexFileHeader& header) {
  STEPWELL_RETURN_IF_ERROR(CheckField("M", header.m, 2, kMostLinks));
  STEPWELL_RETURN_IF_ERROR(
      CheckField("ef_construction", header.ef_construction, 1, kMaxEf));
  STEPWELL_RETURN_IF_ERROR(CheckField("code kind", static_cast<int64_t>(header.codes),
                                      0, static_cast<int64_t>(CodeKind::kInt8)));
  if (header.codes == CodeKind::kFloat32 && header.keep_vectors) {
    return absl::DataLossError("vectors beside float32 codes, which are the vectors");
  }
  STEPWELL_RETURN_IF_ERROR(
      CheckField("upper lists", header.num_upper_lists, 0,
                 std::min(kMaxLevel * header.num_nodes, kMostUpperLists)));
  if (header.codes == CodeKind::kInt8 &&
      !(header.code_limit > 0 && header.code_limit <= kMaxInt8Limit)) {
    return absl::DataLossError(
        absl::StrCat("int8 limit ", header.code_limit, " is out of range"));
  }
  if (header.codes != CodeKind::kInt8 &&
      (header.code_limit != 1 || header.keep_limit)) {
    return absl::DataLossError("an int8 limit, but other codes");
  }
  const VectorCodec codec(header.codes, header.metric, header.dim, header.code_limit);
  const auto stride = static_cast<int64_t>(codec.code_stride());
  STEPWELL_RETURN_IF_ERROR(
      CheckField("code_stride", header.code_stride, stride, stride));
  const bool is_empty = header.entry_node == kNoNode && header.max_level == -1;
  if (header.num_items == 0 && is_empty) return absl::OkStatus();
  STEPWELL_RETURN_IF_ERROR(CheckField("max_level", header.max_level, 0, kMaxLevel));
  return CheckField("entry node", header.entry_node, 0, header.num_nodes - 1);
}

absl::Status CheckFlatFields(const IndexFileHeader& header) {
  const bool is_flat = header.m == 0 && header.ef_construction == 0 &&
                       header.codes == CodeKind::kFloat32 && header.keep_vectors &&
                       !header.keep_limit && header.code_stride == 0 &&
                       header.num_upper_lists == 0 && header.entry_node == kNoNode &&
                       header.max_level == -1 && header.num_items == header.num_nodes;
  if (is_flat) return absl::OkStatus();
  return absl::DataLossError("a flat index with the fields of a graph");
}

// Version 1 had its checksum at another place: whether the bytes are a whole header of
// it, and not a damaged one of this version.
bool IsVersion1(absl::Span<const char> file) {
  constexpr size_t kHeaderBytes = 96, kSectionBytes = 24;
  uint32_t version, num_sections, expected;
  std::memcpy(&version, file.data() + 8, sizeof(version));
  std::memcpy(&num_sections, file.data() + 88, sizeof(num_sections));
  std::memcpy(&expected, file.data() + 92, sizeof(expected));
  if (version != 1 || num_sections > (file.size() - kHeaderBytes) / kSectionBytes) {
    return false;
  }
  char header[kHeaderBytes] = {};
  std::memcpy(header, file.data(), kHeaderBytes - sizeof(expected));
  const uint32_t crc = ExtendCrc32c(0, header, kHeaderBytes);
  return ExtendCrc32c(crc, file.data() + kHeaderBytes, num_sections * kSectionBytes) ==
         expected;
}

absl::Status WrongVersion(uint32_t version) {
  return absl::FailedPreconditionError(absl::StrCat(
      "format version ", version, ", this program reads version ", kIndexFileVersion));
}

}  // namespace

std::string_view IndexSectionName(IndexSection section) {
  constexpr std::string_view kNames[kNumIndexSections] = {
      "labels",      "levels", "nodes_by_label", "base_links",
      "upper_links", "codes",  "vectors"};
  return kNames[static_cast<size_t>(section)];
}

absl::Status CheckIndexFileHeader(const IndexFileHeader& header) {
  STEPWELL_RETURN_IF_ERROR(CheckField("kind", static_cast<int64_t>(header.kind),
                                      static_cast<int64_t>(IndexFileKind::kFlat),
                                      static_cast<int64_t>(IndexFileKind::kHnsw)));
  const absl::StatusOr<Metric> metric =
      MetricFromNumber(static_cast<uint32_t>(header.metric));
  if (!metric.ok()) return absl::DataLossError(metric.status().message());
  STEPWELL_RETURN_IF_ERROR(CheckField("dim", header.dim, 1, kMaxDim));
  STEPWELL_RETURN_IF_ERROR(CheckField("nodes", header.num_nodes, 0, kMaxItems));
  STEPWELL_RETURN_IF_ERROR(CheckField("items", header.num_items, 0, header.num_nodes));
  STEPWELL_RETURN_IF_ERROR(
      CheckField("block_bytes", header.block_bytes, kSmallestBlock, kLargestBlock));
  if (!std::has_single_bit(header.block_bytes)) {
    return absl::DataLossError(
        absl::StrCat("block_bytes is ", header.block_bytes, ", not a power of two"));
  }
  return header.kind == IndexFileKind::kFlat ? CheckFlatFields(header)
                                             : CheckGraphFields(header);
}

IndexFileLayout::IndexFileLayout(const IndexFileHeader& header) {
  const auto nodes = static_cast<uint64_t>(header.num_nodes);
  const auto m = static_cast<uint64_t>(header.m);
  const bool is_graph = header.kind == IndexFileKind::kHnsw;
  const auto set = [this](IndexSection section, uint64_t rows, uint64_t row_bytes) {
    const uint64_t offset = Aligned(payload_bytes_);
    extents_[static_cast<size_t>(section)] = {offset, rows * row_bytes, row_bytes};
    // A section of no bytes lies where the one before ends: a file ends with bytes.
    if (rows * row_bytes > 0) payload_bytes_ = offset + rows * row_bytes;
  };
  set(IndexSection::kLabels, nodes, sizeof(int64_t));
  set(IndexSection::kLevels, is_graph ? nodes : 0, sizeof(uint8_t));
  set(IndexSection::kNodesByLabel, header.num_items, sizeof(uint32_t));
  set(IndexSection::kBaseLinks, nodes, 2 * m * sizeof(uint32_t));
  set(IndexSection::kUpperLinks, header.num_upper_lists, m * sizeof(uint32_t));
  set(IndexSection::kCodes, nodes, header.code_stride);
  set(IndexSection::kVectors, header.keep_vectors ? nodes : 0,
      header.dim * sizeof(float));
  num_blocks_ = (payload_bytes_ + header.block_bytes - 1) / header.block_bytes;
  payload_offset_ = Aligned(sizeof(RawIndexHeader) + num_blocks_ * sizeof(uint32_t));
}

RawIndexHeader ToRaw(const IndexFileHeader& header, const IndexFileLayout& layout) {
  RawIndexHeader raw{};
  std::memcpy(raw.magic, kIndexFileMagic, sizeof(raw.magic));
  raw.version = kIndexFileVersion;
  raw.kind = static_cast<uint32_t>(header.kind);
  raw.metric = static_cast<uint32_t>(header.metric);
  raw.codes = static_cast<uint32_t>(header.codes);
  raw.dim = static_cast<uint32_t>(header.dim);
  raw.m = static_cast<uint32_t>(header.m);
  raw.ef_construction = static_cast<uint32_t>(header.ef_construction);
  raw.code_stride = static_cast<uint32_t>(header.code_stride);
  raw.code_limit = header.code_limit;
  raw.keep_vectors = header.keep_vectors;
  raw.num_nodes = static_cast<uint64_t>(header.num_nodes);
  raw.num_items = static_cast<uint64_t>(header.num_items);
  raw.num_upper_lists = static_cast<uint64_t>(header.num_upper_lists);
  raw.seed = header.seed;
  raw.entry_node = header.entry_node;
  raw.max_level = header.max_level;
  raw.file_bytes = layout.file_bytes();
  raw.block_bytes = header.block_bytes;
  raw.keep_limit = header.keep_limit;
  std::memcpy(raw.space_hash, header.space_hash.data(), sizeof(raw.space_hash));
  return raw;
}

IndexFileHeader FromRaw(const RawIndexHeader& raw) {
  // What does not fit becomes a value that no range holds.
  const auto count = [](uint64_t value) {
    return value >> 63 ? int64_t{-1} : static_cast<int64_t>(value);
  };
  IndexFileHeader header;
  header.kind = static_cast<IndexFileKind>(raw.kind);
  header.metric = static_cast<Metric>(raw.metric);
  header.codes = static_cast<CodeKind>(raw.codes);
  header.dim = raw.dim;
  header.m = raw.m;
  header.ef_construction = raw.ef_construction;
  header.code_stride = raw.code_stride;
  header.code_limit = raw.code_limit;
  header.keep_vectors = raw.keep_vectors != 0;
  header.keep_limit = raw.keep_limit != 0;
  header.num_nodes = count(raw.num_nodes);
  header.num_items = count(raw.num_items);
  header.num_upper_lists = count(raw.num_upper_lists);
  header.seed = raw.seed;
  header.entry_node = raw.entry_node;
  header.max_level = raw.max_level;
  header.block_bytes = raw.block_bytes;
  std::copy_n(raw.space_hash, header.space_hash.size(), header.space_hash.begin());
  return header;
}

uint32_t HeaderCrc32c(RawIndexHeader raw) {
  raw.header_crc32c = 0;
  return ExtendCrc32c(0, &raw, sizeof(raw));
}

absl::Status CheckRawIndexHeader(absl::Span<const char> file, RawIndexHeader& raw) {
  if (file.size() < sizeof(raw)) {
    return absl::DataLossError(
        absl::StrCat(file.size(), " bytes are too few for a header"));
  }
  std::memcpy(&raw, file.data(), sizeof(raw));
  if (std::memcmp(raw.magic, kIndexFileMagic, sizeof(raw.magic)) != 0) {
    return absl::DataLossError("not an index file: wrong magic");
  }
  if (IsVersion1(file)) return WrongVersion(1);
  if (HeaderCrc32c(raw) != raw.header_crc32c) {
    return absl::DataLossError("wrong checksum of the header");
  }
  // After the checksum: a flipped bit is damage, not a newer version.
  if (raw.version != kIndexFileVersion) return WrongVersion(raw.version);
  const auto is_zero = [](uint32_t word) { return word == 0; };
  if (!std::all_of(std::begin(raw.reserved), std::end(raw.reserved), is_zero) ||
      !std::all_of(std::begin(raw.reserved_too), std::end(raw.reserved_too), is_zero) ||
      raw.keep_vectors > 1 || raw.keep_limit > 1) {
    return absl::DataLossError("a reserved bit is not zero");
  }
  return absl::OkStatus();
}

}  // namespace stepwell::index
