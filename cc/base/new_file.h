// A file that appears whole or not at all.
#ifndef STEPWELL_CC_BASE_NEW_FILE_H_
#define STEPWELL_CC_BASE_NEW_FILE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace stepwell {

// Writes beside `path` and takes its name at the end. One thread. Without a
// successful Publish nothing is left behind and an older file at `path` is
// untouched; who has the older one open or mapped keeps its bytes. Every error is
// Unavailable and names the file and what the system said.
class NewFile {
 public:
  static absl::StatusOr<std::unique_ptr<NewFile>> Create(std::string path);

  ~NewFile();
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;

  // What is never written below the end reads as zeros.
  absl::Status WriteAt(uint64_t offset, absl::Span<const char> bytes) const;

  absl::Status SetSize(uint64_t size) const;

  // fsync, rename, fsync of the directory: once, and nothing is written after it.
  absl::Status Publish();

 private:
  NewFile(std::string path, std::string temporary, int descriptor);

  const std::string path_;
  const std::string temporary_;
  int descriptor_;
};

}  // namespace stepwell

#endif  // STEPWELL_CC_BASE_NEW_FILE_H_
