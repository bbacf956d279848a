// A row file mapped into memory, shared by every process that maps it.
#ifndef STEPWELL_CC_ROW_FILE_ROW_FILE_H_
#define STEPWELL_CC_ROW_FILE_ROW_FILE_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cc/row_file/row_file_view.h"

namespace stepwell::row_file {

struct RowFileOptions {
  // Compare every block with its checksum before Open returns. It reads the whole file
  // once: about 0.15 ns a byte that is in the page cache, else what the disk takes.
  // Without it Open reads the header alone and CheckBlocks can be called later.
  bool check_blocks = true;
};

// The pages are read-only: a write through a pointer into them ends the process, and
// never changes the file. They stay valid until the RowFile is destroyed, also when
// another file takes the name meanwhile. A file may not be changed in place: one that
// is cut while it is mapped raises SIGBUS at the next read. RowFileWriter never does
// that. Concurrency: const, so any number of threads.
class RowFile {
 public:
  // NotFound, DataLoss when anything is wrong with the bytes, FailedPrecondition for an
  // unknown format version, Unavailable when the system refuses; all name the path.
  static absl::StatusOr<std::unique_ptr<RowFile>> Open(
      std::string path, const RowFileOptions& options = {});

  ~RowFile();
  RowFile(const RowFile&) = delete;
  RowFile& operator=(const RowFile&) = delete;

  const std::string& path() const { return path_; }
  const RowFileView& view() const { return view_; }

  // RowFileView::CheckBlocks, with the path in the error.
  absl::Status CheckBlocks() const;

 private:
  explicit RowFile(std::string path) : path_(std::move(path)) {}
  absl::Status Map();
  absl::Status MapDescriptor(int descriptor);
  absl::Status Named(const absl::Status& status) const;
  void AskForHugePages() const;

  const std::string path_;
  char* address_ = nullptr;
  size_t size_ = 0;
  RowFileView view_;
};

}  // namespace stepwell::row_file

#endif  // STEPWELL_CC_ROW_FILE_ROW_FILE_H_
