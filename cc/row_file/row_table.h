// What a row file says of one embedding table, and where its rows lie.
#ifndef STEPWELL_CC_ROW_FILE_ROW_TABLE_H_
#define STEPWELL_CC_ROW_FILE_ROW_TABLE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "cc/kernels/embedding/row_format.h"

namespace stepwell::row_file {

inline constexpr uint64_t kMaxTables = uint64_t{1} << 16;
inline constexpr size_t kMaxNameBytes = 96;
inline constexpr uint64_t kMaxDim = uint64_t{1} << 24;
// Of all rows together. With it no sum or product below overflows.
inline constexpr uint64_t kMaxPayloadBytes = uint64_t{1} << 48;

struct RowTable {
  std::string name;  // 1 to kMaxNameBytes printable ASCII characters, unique in a file
  kernels::RowFormat row_format = kernels::RowFormat::kFloat32;
  uint64_t num_rows = 0;
  uint64_t dim = 0;
  int64_t default_row = -1;  // the row that stands for index -1; -1 is a row of zeros

  uint64_t RowBytes() const;
  // Of all rows. Only after CheckTables.
  uint64_t Bytes() const { return num_rows * RowBytes(); }
};

// Sizes that a writer may choose; both are in the header of the file.
struct BlockOptions {
  // One checksum each; a power of two in [64, 1 GiB].
  uint64_t block_bytes = uint64_t{1} << 20;
  // Every table starts at a multiple of this; a power of two in [64, 2 MiB].
  uint64_t alignment = 4096;
};

// Where everything lies. It follows from the tables and options alone, so a file can be
// laid out in one way only: a reader computes it anew and wants the very same.
struct Layout {
  uint64_t checksums_offset = 0;  // one uint32 a block, then zeros to the payload
  uint64_t payload_offset = 0;
  uint64_t num_blocks = 0;
  uint64_t file_bytes = 0;
  std::vector<uint64_t> table_offsets;  // from the start of the file
};

// FieldError when there is no table, or one breaks a limit above, or a name comes
// twice. Names the table and the value.
absl::Status CheckTables(absl::Span<const RowTable> tables);

absl::Status CheckOptions(const BlockOptions& options);

// Only after both checks. Cost: one pass over the tables, no allocation besides
// offsets.
Layout LayOut(absl::Span<const RowTable> tables, const BlockOptions& options);

}  // namespace stepwell::row_file

#endif  // STEPWELL_CC_ROW_FILE_ROW_TABLE_H_
