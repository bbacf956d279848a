// A whole file as read-only memory.
#ifndef STEPWELL_CC_INDEX_MAPPED_FILE_H_
#define STEPWELL_CC_INDEX_MAPPED_FILE_H_

#include <cstddef>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace stepwell::index {

// Processes that map one file share its pages. A write through the pointer ends the
// process, and never changes the file. The bytes stay until this is destroyed, also
// when another file takes the name meanwhile; a file that is cut in place while it is
// mapped raises SIGBUS at the next read past its end. Concurrency: const.
class MappedFile {
 public:
  // NotFound; DataLoss for what is not a regular file or is empty; Unavailable with
  // what the system said. All name the path.
  static absl::StatusOr<std::unique_ptr<MappedFile>> Open(const std::string& path);

  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  // Aligned to a page.
  absl::Span<const char> bytes() const { return {address_, size_}; }

 private:
  MappedFile(const char* address, size_t size) : address_(address), size_(size) {}

  const char* const address_;
  const size_t size_;
};

}  // namespace stepwell::index

#endif  // STEPWELL_CC_INDEX_MAPPED_FILE_H_
