#include "cc/index/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace stepwell::index {
namespace {

absl::Status Refused(const char* action, const std::string& path, int error) {
  const std::string message =
      absl::StrCat("cannot ", action, " ", path, ": ", std::strerror(error));
  return error == ENOENT ? absl::NotFoundError(message)
                         : absl::UnavailableError(message);
}

}  // namespace

absl::StatusOr<std::unique_ptr<MappedFile>> MappedFile::Open(const std::string& path) {
  // Not blocking: who opens a pipe would wait for a writer, here and for ever.
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) return Refused("open", path, errno);
  struct stat status;
  const bool is_file = fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode);
  if (!is_file || status.st_size == 0) {
    close(descriptor);
    return absl::DataLossError(
        absl::StrCat(path, is_file ? ": is empty" : ": not a regular file"));
  }
  const auto size = static_cast<size_t>(status.st_size);
  void* address = mmap(nullptr, size, PROT_READ, MAP_SHARED, descriptor, 0);
  const int error = errno;
  close(descriptor);  // the mapping keeps the file
  if (address == MAP_FAILED) return Refused("map", path, error);
  return std::unique_ptr<MappedFile>(
      new MappedFile(static_cast<const char*>(address), size));
}

MappedFile::~MappedFile() { munmap(const_cast<char*>(address_), size_); }

}  // namespace stepwell::index
