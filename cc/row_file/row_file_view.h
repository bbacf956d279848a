// A row file as bytes in memory: all checks, no system call.
#ifndef STEPWELL_CC_ROW_FILE_ROW_FILE_VIEW_H_
#define STEPWELL_CC_ROW_FILE_ROW_FILE_VIEW_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "cc/row_file/row_table.h"

namespace stepwell::row_file {

// The parts of a file whose header is whole. Borrows the bytes. Concurrency: const, so
// any number of threads. Every error about the bytes is DataLoss and says what is wrong
// and where.
class RowFileView {
 public:
  // Checks everything but the blocks: magic, checksum of the header, version, the
  // file's size, limits, the place of every table, and the checksum of the checksums.
  // FailedPrecondition for a format version that this code does not know. Nothing is
  // allocated before the header's checksum and the file's size are right. Cost: linear
  // in the bytes before the payload.
  static absl::StatusOr<RowFileView> Parse(absl::Span<const char> bytes);

  absl::Span<const RowTable> tables() const { return tables_; }

  // All tables and the gaps between them.
  absl::Span<const char> payload() const {
    return bytes_.subspan(layout_.payload_offset);
  }

  // Where a table starts inside of the payload.
  uint64_t OffsetInPayload(size_t table) const {
    return layout_.table_offsets[table] - layout_.payload_offset;
  }

  absl::Span<const char> TableBytes(size_t table) const {
    return payload().subspan(OffsetInPayload(table), tables_[table].Bytes());
  }

  uint64_t num_blocks() const { return layout_.num_blocks; }

  // Compares one block with its checksum; 0 <= block < num_blocks. Cost: reads the
  // block, about 0.15 ns a byte that is in memory.
  absl::Status CheckBlock(uint64_t block) const;

  // All of them, the first bad one is named.
  absl::Status CheckBlocks() const;

 private:
  absl::Status ParseHeader();
  absl::Status ParseTables(const struct RawHeader& raw);
  absl::Status CheckChecksums(uint32_t expected) const;

  absl::Span<const char> bytes_;
  std::vector<RowTable> tables_;
  BlockOptions options_;
  Layout layout_;
};

}  // namespace stepwell::row_file

#endif  // STEPWELL_CC_ROW_FILE_ROW_FILE_VIEW_H_
