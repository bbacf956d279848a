#include "cc/base/new_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace stepwell {
namespace {

absl::Status FileError(absl::string_view action, absl::string_view path) {
  const int error = errno;
  return absl::UnavailableError(
      absl::StrCat("cannot ", action, " ", path, ": ", std::strerror(error)));
}

std::string DirectoryOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

absl::StatusOr<std::unique_ptr<NewFile>> NewFile::Create(std::string path) {
  // The same directory, so that the rename cannot cross a file system.
  std::string temporary = absl::StrCat(path, ".tmp.XXXXXX");
  const int descriptor = mkostemp(temporary.data(), O_CLOEXEC);
  if (descriptor < 0) return FileError("create", temporary);
  return std::unique_ptr<NewFile>(
      new NewFile(std::move(path), std::move(temporary), descriptor));
}

NewFile::NewFile(std::string path, std::string temporary, int descriptor)
    : path_(std::move(path)),
      temporary_(std::move(temporary)),
      descriptor_(descriptor) {}

NewFile::~NewFile() {
  if (descriptor_ < 0) return;
  close(descriptor_);
  unlink(temporary_.c_str());
}

absl::Status NewFile::WriteAt(uint64_t offset, absl::Span<const char> bytes) const {
  while (!bytes.empty()) {
    const ssize_t written =
        pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return FileError("write", temporary_);
    offset += static_cast<uint64_t>(written);
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

absl::Status NewFile::SetSize(uint64_t size) const {
  if (ftruncate(descriptor_, static_cast<off_t>(size)) == 0) return absl::OkStatus();
  return FileError("set the size of", temporary_);
}

absl::Status NewFile::Publish() {
  constexpr mode_t kReadableByAll = 0644;
  if (fchmod(descriptor_, kReadableByAll) != 0) return FileError("chmod", temporary_);
  if (fsync(descriptor_) != 0) return FileError("fsync", temporary_);
  if (rename(temporary_.c_str(), path_.c_str()) != 0) {
    return FileError("rename to", path_);
  }
  close(std::exchange(descriptor_, -1));
  // Without this the name itself can be lost in a power cut.
  const std::string directory = DirectoryOf(path_);
  const int descriptor = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return FileError("open", directory);
  const int result = fsync(descriptor);
  const absl::Status status =
      result == 0 ? absl::OkStatus() : FileError("fsync", directory);
  close(descriptor);
  return status;
}

}  // namespace stepwell
