// The bytes at the front of a row file: shared by its writer, its reader and its tests
// only. docs/row_files.md is the same in prose.
#ifndef STEPWELL_CC_ROW_FILE_RAW_HEADER_H_
#define STEPWELL_CC_ROW_FILE_RAW_HEADER_H_

#include <cstdint>

#include "absl/types/span.h"
#include "cc/base/crc32c.h"

namespace stepwell::row_file {

inline constexpr char kMagic[8] = {'S', 'T', 'E', 'P', 'W', 'R', 'O', 'W'};
inline constexpr uint32_t kFormatVersion = 1;

struct RawHeader {
  char magic[8];
  uint32_t version;
  uint32_t num_tables;
  uint64_t file_bytes;
  uint64_t payload_offset;
  uint64_t num_blocks;
  uint32_t block_bytes;
  uint32_t alignment;
  uint32_t checksums_crc32c;  // of all bytes between the tables and the payload
  uint32_t header_crc32c;     // of the header with zero here, and of the tables
  uint64_t reserved;          // zero
};

struct RawTable {
  uint64_t offset;
  uint64_t num_rows;
  int64_t default_row;
  uint32_t dim;
  uint32_t row_format;
  char name[96];  // zeros after its end
};
static_assert(sizeof(RawHeader) == 64 && sizeof(RawTable) == 128);

inline uint32_t HeaderChecksum(RawHeader header, absl::Span<const RawTable> tables) {
  header.header_crc32c = 0;
  const uint32_t crc = ExtendCrc32c(0, &header, sizeof(header));
  return ExtendCrc32c(crc, tables.data(), tables.size() * sizeof(RawTable));
}

}  // namespace stepwell::row_file

#endif  // STEPWELL_CC_ROW_FILE_RAW_HEADER_H_
