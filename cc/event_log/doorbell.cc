#include "cc/event_log/doorbell.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <limits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace stepwell::event_log {
namespace {

constexpr int kFileMode = 0600;
constexpr size_t kPageBytes = 4096;
constexpr int64_t kUsPerSecond = 1'000'000;
// A wait that is asked to be longer is one of so long: it may end without a reason.
constexpr int64_t kLongestWaitUs = int64_t{1} << 50;

absl::Status ErrorOf(const std::string& path, int code) {
  const std::string text = absl::StrCat(path, ": ", std::strerror(code));
  return code == ENOSPC || code == EDQUOT ? absl::ResourceExhaustedError(text)
                                          : absl::UnavailableError(text);
}

// Of a file that has its room on disk: a page without would be a SIGBUS at the first
// ring on a full disk.
absl::StatusOr<void*> Mapped(const std::string& path, int file) {
  const int code = posix_fallocate(file, 0, kPageBytes);
  if (code != 0) return ErrorOf(path, code);
  void* const page =
      mmap(nullptr, kPageBytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (page == MAP_FAILED) return ErrorOf(path, errno);
  return page;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Doorbell>> Doorbell::Open(const std::string& path) {
  const int file = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, kFileMode);
  if (file < 0) return ErrorOf(path, errno);
  const absl::StatusOr<void*> page = Mapped(path, file);
  close(file);
  if (!page.ok()) return page.status();
  return std::unique_ptr<Doorbell>(new Doorbell(*page));
}

Doorbell::~Doorbell() { munmap(word_, kPageBytes); }

void Doorbell::Ring() {
  word_->fetch_add(1);
  syscall(SYS_futex, word_, FUTEX_WAKE, std::numeric_limits<int>::max(), nullptr,
          nullptr, 0);
}

void Doorbell::WaitBeyond(uint32_t seen, int64_t timeout_us) const {
  const int64_t us = std::clamp<int64_t>(timeout_us, 0, kLongestWaitUs);
  const timespec relative = {.tv_sec = us / kUsPerSecond,
                             .tv_nsec = us % kUsPerSecond * 1'000};
  syscall(SYS_futex, word_, FUTEX_WAIT, seen, &relative, nullptr, 0);
}

}  // namespace stepwell::event_log
