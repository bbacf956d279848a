// The bytes of an index file, version 2: what the header says and where, from that
// alone, every section lies. docs/index_file.md has the table.
//
//   header, 192 bytes    parameters and counts, under a checksum of their own
//   block checksums      uint32 each, then zeros to a multiple of 64; under a checksum
//   payload              the sections, each at a multiple of 64, zeros between them;
//                        one checksum a block
//
// Little-endian. Counts and sizes leave no choice where anything lies, so there is no
// table of offsets that could disagree with them.
#ifndef STEPWELL_CC_INDEX_INDEX_FILE_FORMAT_H_
#define STEPWELL_CC_INDEX_INDEX_FILE_FORMAT_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "cc/index/ann_index.h"
#include "cc/index/graph_storage.h"
#include "cc/index/vector_codec.h"

namespace stepwell::index {

inline constexpr uint32_t kIndexFileVersion = 2;
inline constexpr uint64_t kIndexFileAlignment = 64;
inline constexpr uint32_t kIndexFileBlockBytes = uint32_t{256} << 10;

// The numbers are in the files: never reuse one.
enum class IndexFileKind : uint32_t { kFlat = 1, kHnsw = 2 };

// In the order of the file. N nodes, of which `num_items` hold an item, D = dim.
enum class IndexSection {
  kLabels,        // int64 [N]; kNoLabel: a free place; kDeadLabel: leads the way
  kLevels,        // uint8 [N], none in a flat index
  kNodesByLabel,  // uint32 [num_items], labels ascending
  kBaseLinks,     // uint32 [N, 2 M], kNoNode behind the last link
  kUpperLinks,    // uint32 [num_upper_lists, M], by node, then from level 1 up
  kCodes,         // [N, code_stride] of VectorCodec, none in a flat index
  kVectors,       // float32 [N, D] as compared; where kept, and in a flat index
};
inline constexpr size_t kNumIndexSections = 7;

std::string_view IndexSectionName(IndexSection section);

struct IndexFileHeader {
  IndexFileKind kind = IndexFileKind::kFlat;
  Metric metric = Metric::kInnerProduct;
  int64_t dim = 0;
  // The graph's; as here in a flat index.
  int64_t m = 0;
  int64_t ef_construction = 0;
  uint64_t seed = 0;
  CodeKind codes = CodeKind::kFloat32;
  bool keep_vectors = true;
  float code_limit = 1;
  // Whether growth keeps the limit: HnswOptions::int8_limit.
  bool keep_limit = false;
  int64_t code_stride = 0;
  int64_t num_upper_lists = 0;
  uint32_t entry_node = kNoNode;  // kNoNode and -1: an empty graph
  int32_t max_level = -1;

  int64_t num_nodes = 0;
  int64_t num_items = 0;
  SpaceHash space_hash{};
  // A power of two in [64, 2^30].
  uint32_t block_bytes = kIndexFileBlockBytes;
};

// Checks every field against its range: what passes has sizes that fit into 64 bits.
// DataLoss, names field and value.
absl::Status CheckIndexFileHeader(const IndexFileHeader& header);

// Where the sections of a checked header lie.
class IndexFileLayout {
 public:
  struct Extent {
    uint64_t offset = 0;  // from the start of the payload
    uint64_t bytes = 0;
    uint64_t row_bytes = 0;
  };

  IndexFileLayout() = default;
  explicit IndexFileLayout(const IndexFileHeader& header);

  const Extent& extent(IndexSection section) const {
    return extents_[static_cast<size_t>(section)];
  }
  uint64_t payload_bytes() const { return payload_bytes_; }
  uint64_t payload_offset() const { return payload_offset_; }
  uint64_t num_blocks() const { return num_blocks_; }
  uint64_t file_bytes() const { return payload_offset_ + payload_bytes_; }

 private:
  std::array<Extent, kNumIndexSections> extents_;
  uint64_t payload_bytes_ = 0;
  uint64_t payload_offset_ = 0;
  uint64_t num_blocks_ = 0;
};

struct RawIndexHeader {
  char magic[8];
  uint32_t version;
  uint32_t kind;
  uint32_t metric;
  uint32_t codes;
  uint32_t dim;
  uint32_t m;
  uint32_t ef_construction;
  uint32_t code_stride;
  float code_limit;
  uint32_t keep_vectors;
  uint64_t num_nodes;
  uint64_t num_items;
  uint64_t num_upper_lists;
  uint64_t seed;
  uint32_t entry_node;
  int32_t max_level;
  uint64_t file_bytes;
  uint32_t block_bytes;
  uint32_t keep_limit;
  uint32_t reserved[4];  // 0
  uint8_t space_hash[32];
  uint32_t reserved_too[8];  // 0
  uint32_t table_crc32c;     // of the bytes between header and payload
  uint32_t header_crc32c;    // of the header with zero here
};
static_assert(sizeof(RawIndexHeader) == 192);

RawIndexHeader ToRaw(const IndexFileHeader& header, const IndexFileLayout& layout);

// What the fields of a raw header say, unchecked.
IndexFileHeader FromRaw(const RawIndexHeader& raw);

uint32_t HeaderCrc32c(RawIndexHeader raw);

// Magic, version, checksum and reserved fields of a file's first bytes. DataLoss, or
// FailedPrecondition for a version that this code does not read.
absl::Status CheckRawIndexHeader(absl::Span<const char> file, RawIndexHeader& raw);

}  // namespace stepwell::index

#endif  // STEPWELL_CC_INDEX_INDEX_FILE_FORMAT_H_
