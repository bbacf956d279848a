// Writes a row file piece by piece: no table needs to be in memory as a whole.
#ifndef STEPWELL_CC_ROW_FILE_ROW_FILE_WRITER_H_
#define STEPWELL_CC_ROW_FILE_ROW_FILE_WRITER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "cc/base/new_file.h"
#include "cc/row_file/row_table.h"

namespace stepwell::row_file {

// Create with all tables, Append their rows in order, Commit. Writes a NewFile at
// `path`: without a successful Commit nothing is left behind, an older file at `path`
// is untouched, and who has that one mapped keeps its bytes for ever. One thread.
// Memory: one buffer of 2 MiB and four bytes a block.
class RowFileWriter {
 public:
  // InvalidArgument when the tables or options are out of their limits, Unavailable
  // when the directory cannot be written.
  static absl::StatusOr<std::unique_ptr<RowFileWriter>> Create(
      std::string path, std::vector<RowTable> tables, const BlockOptions& options = {});

  RowFileWriter(const RowFileWriter&) = delete;
  RowFileWriter& operator=(const RowFileWriter&) = delete;

  const std::vector<RowTable>& tables() const { return tables_; }

  // The next rows of `table`, as they are to lie in the file. InvalidArgument when they
  // are no whole rows or more than the table has, FailedPrecondition when an earlier
  // table lacks rows, the file is committed or a write has failed; in all these cases
  // the file is as before. Unavailable when the system cannot write.
  absl::Status Append(size_t table, absl::Span<const char> rows);

  // FailedPrecondition as above, or when a table lacks rows.
  absl::Status Commit();

 private:
  // After a failed write the file can only be dropped.
  enum class State { kOpen, kFailed, kCommitted };

  RowFileWriter(std::unique_ptr<NewFile> file, std::vector<RowTable> tables,
                const BlockOptions& options);
  absl::Status CheckOpen() const;
  absl::Status CheckComplete(size_t num_tables) const;
  absl::Status Pad(uint64_t offset);
  absl::Status Put(absl::Span<const char> bytes);
  void Sum(absl::Span<const char> bytes);
  absl::Status Flush();
  absl::Status WriteHeader() const;

  const std::unique_ptr<NewFile> file_;
  const std::vector<RowTable> tables_;
  const BlockOptions options_;
  const Layout layout_;
  std::vector<uint64_t> written_bytes_;  // of each table
  std::vector<uint32_t> checksums_;      // the last one grows until its block is full
  std::vector<char> pending_;
  uint64_t end_;         // of what is in the file; `pending_` follows
  uint64_t summed_ = 0;  // bytes of the payload that are in `checksums_`
  State state_ = State::kOpen;
};

}  // namespace stepwell::row_file

#endif  // STEPWELL_CC_ROW_FILE_ROW_FILE_WRITER_H_
