// Which folders this process has open: LMDB's file locks forbid a second time.
#ifndef STEPWELL_CC_LMDB_OPEN_FOLDERS_H_
#define STEPWELL_CC_LMDB_OPEN_FOLDERS_H_

#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/statusor.h"

namespace stepwell::lmdb {

// Held while a folder is open. A process that was forked meanwhile holds nothing.
// Concurrency: Take and the destructor from any thread.
class FolderClaim {
 public:
  // FailedPrecondition when this process holds the folder, by whatever name;
  // Unavailable when there is no such folder.
  static absl::StatusOr<FolderClaim> Take(const std::string& path);

  FolderClaim(FolderClaim&& other) noexcept
      : folder_(std::exchange(other.folder_, {})),
        held_(std::exchange(other.held_, false)) {}
  ~FolderClaim();

 private:
  using Folder = std::pair<uint64_t, uint64_t>;  // device, inode

  explicit FolderClaim(Folder folder) : folder_(folder) {}

  Folder folder_;
  bool held_ = true;
};

}  // namespace stepwell::lmdb

#endif  // STEPWELL_CC_LMDB_OPEN_FOLDERS_H_
