// The bytes of an index file's header: shared by its writer and its reader
// only.
#ifndef STEPWELL_CC_INDEX_INDEX_FILE_LAYOUT_H_
#define STEPWELL_CC_INDEX_INDEX_FILE_LAYOUT_H_

#include <cstdint>
#include <cstring>

#include "absl/types/span.h"
#include "cc/base/crc32c.h"
#include "cc/index/index_file.h"

namespace stepwell::index {

inline constexpr char kMagic[8] = {'S', 'T', 'E', 'P', 'W', 'I', 'D', 'X'};
inline constexpr uint32_t kFormatVersion = 1;
inline constexpr uint32_t kMaxSections = 16;
inline constexpr uint64_t kSectionAlignment = 64;

struct RawHeader {
  char magic[8];
  uint32_t version;
  uint32_t kind;
  uint32_t metric;
  uint32_t dim;
  uint32_t m;
  uint32_t ef_construction;
  int32_t max_level;
  uint32_t entry_row;
  uint64_t count;
  uint64_t seed;
  uint8_t space_hash[32];
  uint32_t num_sections;
  uint32_t crc32c;  // of the header with zero here, and of the table
};
static_assert(sizeof(RawHeader) == 96 && sizeof(SectionEntry) == 24);

inline constexpr uint64_t Aligned(uint64_t offset) {
  return (offset + kSectionAlignment - 1) / kSectionAlignment * kSectionAlignment;
}

// Where a table of so many lines ends.
inline constexpr uint64_t EndOfTable(uint64_t num_sections) {
  return sizeof(RawHeader) + num_sections * sizeof(SectionEntry);
}

inline uint32_t HeaderChecksum(RawHeader header,
                               absl::Span<const SectionEntry> entries) {
  header.crc32c = 0;
  const uint32_t crc = ExtendCrc32c(0, &header, sizeof(header));
  return ExtendCrc32c(crc, entries.data(), entries.size() * sizeof(SectionEntry));
}

}  // namespace stepwell::index

#endif  // STEPWELL_CC_INDEX_INDEX_FILE_LAYOUT_H_
