#include "cc/lmdb/open_folders.h"

#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <mutex>

#include "absl/strings/str_cat.h"

namespace stepwell::lmdb {
namespace {

struct OpenFolders {
  std::mutex mutex;
  std::map<std::pair<uint64_t, uint64_t>, pid_t> holders;
};

// Never destroyed: logs may outlive main().
OpenFolders& TheOpenFolders() {
  static auto* const folders = new OpenFolders;
  return *folders;
}

}  // namespace

absl::StatusOr<FolderClaim> FolderClaim::Take(const std::string& path) {
  struct stat status{};
  if (stat(path.c_str(), &status) != 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot open ", path, ": ", std::strerror(errno)));
  }
  const Folder folder(status.st_dev, status.st_ino);
  OpenFolders& folders = TheOpenFolders();
  const std::lock_guard<std::mutex> lock(folders.mutex);
  const auto [place, is_new] = folders.holders.try_emplace(folder, getpid());
  if (!is_new && place->second == getpid()) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " is open in this process already; share it"));
  }
  place->second = getpid();
  return FolderClaim(folder);
}

FolderClaim::~FolderClaim() {
  if (!held_) return;
  OpenFolders& folders = TheOpenFolders();
  const std::lock_guard<std::mutex> lock(folders.mutex);
  folders.holders.erase(folder_);
}

}  // namespace stepwell::lmdb
