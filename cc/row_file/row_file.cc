#include "cc/row_file/row_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"

namespace stepwell::row_file {
namespace {

constexpr size_t kHugePageBytes = size_t{2} << 20;

// Linux 6.1; the headers of Debian 12 are older.
constexpr int kMadvCollapse = 25;

// Maps the file at a multiple of a huge page, where the kernel can map whole huge pages
// of the page cache. nullptr when there is no room.
char* MapAligned(int descriptor, size_t size) {
  const size_t reserved = size + kHugePageBytes;
  void* room = mmap(nullptr, reserved, PROT_NONE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (room == MAP_FAILED) return nullptr;
  char* begin = static_cast<char*>(room);
  const size_t head = -reinterpret_cast<uintptr_t>(begin) % kHugePageBytes;
  void* mapped =
      mmap(begin + head, size, PROT_READ, MAP_SHARED | MAP_FIXED, descriptor, 0);
  if (mapped == MAP_FAILED) {
    munmap(room, reserved);
    return nullptr;
  }
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t used = head + (size + page - 1) / page * page;
  if (head > 0) munmap(begin, head);
  if (reserved > used) munmap(begin + used, reserved - used);
  return static_cast<char*>(mapped);
}

}  // namespace

absl::StatusOr<std::unique_ptr<RowFile>> RowFile::Open(std::string path,
                                                       const RowFileOptions& options) {
  std::unique_ptr<RowFile> file(new RowFile(std::move(path)));
  STEPWELL_RETURN_IF_ERROR(file->Named(file->Map()));
  absl::StatusOr<RowFileView> view = RowFileView::Parse({file->address_, file->size_});
  STEPWELL_RETURN_IF_ERROR(file->Named(view.status()));
  file->view_ = *std::move(view);
  file->AskForHugePages();
  if (options.check_blocks) STEPWELL_RETURN_IF_ERROR(file->CheckBlocks());
  return file;
}

RowFile::~RowFile() {
  if (address_ != nullptr) munmap(address_, size_);
}

absl::Status RowFile::Map() {
  // Not blocking: who opens a pipe would wait for a writer, here and for ever.
  const int descriptor = open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) {
    const int error = errno;
    const std::string message = absl::StrCat("cannot open: ", std::strerror(error));
    return error == ENOENT ? absl::NotFoundError(message)
                           : absl::UnavailableError(message);
  }
  const absl::Status status = MapDescriptor(descriptor);
  close(descriptor);  // the mapping keeps the file
  return status;
}

absl::Status RowFile::MapDescriptor(int descriptor) {
  struct stat status;
  if (fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) {
    return absl::DataLossError("not a regular file");
  }
  if (status.st_size == 0) return absl::DataLossError("is empty");
  const auto size = static_cast<size_t>(status.st_size);
  char* address = MapAligned(descriptor, size);
  if (address == nullptr) {
    const int error = errno;
    return absl::UnavailableError(
        absl::StrCat("cannot map ", size, " bytes: ", std::strerror(error)));
  }
  address_ = address;
  size_ = size;
  return absl::OkStatus();
}

// Advice only: what the kernel or the file system cannot do changes the speed and not
// the bytes, so no result is looked at.
void RowFile::AskForHugePages() const {
  if (size_ < kHugePageBytes) return;
  madvise(address_, size_, MADV_HUGEPAGE);
  madvise(address_, size_, kMadvCollapse);
}

absl::Status RowFile::CheckBlocks() const { return Named(view_.CheckBlocks()); }

absl::Status RowFile::Named(const absl::Status& status) const {
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat(path_, ": ", status.message()));
}

}  // namespace stepwell::row_file
