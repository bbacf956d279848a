// Writes an index file.
#ifndef STEPWELL_CC_INDEX_NEW_INDEX_FILE_H_
#define STEPWELL_CC_INDEX_NEW_INDEX_FILE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "cc/base/new_file.h"
#include "cc/index/index_file_format.h"

namespace stepwell::index {

// Sections in the order of IndexSection, each in any number of pieces, then Commit.
// One thread. Without a successful Commit nothing is left behind and an older file at
// `path` is untouched.
class NewIndexFile {
 public:
  // Unavailable when the directory cannot be written; Internal for a header that no
  // reader would take.
  static absl::StatusOr<std::unique_ptr<NewIndexFile>> Create(
      std::string path, const IndexFileHeader& header);

  NewIndexFile(const NewIndexFile&) = delete;
  NewIndexFile& operator=(const NewIndexFile&) = delete;

  // The next bytes of a section; sections that have none are left out.
  absl::Status Append(IndexSection section, absl::Span<const char> bytes);

  template <typename T>
  absl::Status AppendValues(IndexSection section, absl::Span<const T> values) {
    return Append(section, {reinterpret_cast<const char*>(values.data()),
                            values.size() * sizeof(T)});
  }

  // Internal when a section is not complete. Header, fsync, rename, fsync of the
  // directory.
  absl::Status Commit();

 private:
  NewIndexFile(std::unique_ptr<NewFile> file, const IndexFileHeader& header);
  absl::Status AppendToPayload(absl::Span<const char> bytes);
  absl::Status PadTo(uint64_t offset);
  absl::Status Flush();
  void EndBlock();

  const std::unique_ptr<NewFile> file_;
  const IndexFileHeader header_;
  const IndexFileLayout layout_;
  uint64_t written_ = 0;       // bytes of the payload that are in the file
  std::vector<char> pending_;  // those behind
  uint64_t appended_ = 0;      // bytes of the payload so far
  uint32_t block_crc_ = 0;
  std::vector<uint32_t> block_crcs_;
};

}  // namespace stepwell::index

#endif  // STEPWELL_CC_INDEX_NEW_INDEX_FILE_H_
