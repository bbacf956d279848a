#include "cc/lmdb/data_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "cc/base/little_endian.h"
#include "cc/base/status_macros.h"

namespace stepwell::lmdb {
namespace {

// The file's form, version 1, on a 64-bit machine. A page: number u64, pad u16, flags
// u16, lower u16, upper u16, then u16 places of its nodes. A node: size or child's low
// 32 bits, u16 flags, u16 key bytes, key, data.
constexpr uint32_t kMagic = 0xbeefc0de;
constexpr uint32_t kVersion = 1;
constexpr uint64_t kPageHeaderBytes = 16;
constexpr uint64_t kNodeHeaderBytes = 8;
constexpr uint64_t kMetaBytes = 136;
constexpr uint64_t kTableBytes = 48;
constexpr uint16_t kBranch = 0x01, kLeaf = 0x02;
constexpr uint16_t kBigData = 0x01, kSubTable = 0x02;
constexpr uint64_t kNoPage = ~uint64_t{0};
constexpr int kTries = 3;

class OpenFile {
 public:
  explicit OpenFile(int descriptor) : descriptor_(descriptor) {}
  ~OpenFile() {
    if (descriptor_ >= 0) close(descriptor_);
  }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  bool is_open() const { return descriptor_ >= 0; }

  uint64_t Size() const {
    struct stat status{};
    return fstat(descriptor_, &status) == 0 ? static_cast<uint64_t>(status.st_size) : 0;
  }

  bool Read(uint64_t offset, std::vector<char>& bytes) const {
    const ssize_t got =
        pread(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    return got == static_cast<ssize_t>(bytes.size());
  }

 private:
  int descriptor_;
};

// What one of the two meta pages says.
struct Meta {
  uint64_t page_bytes = 0;
  uint64_t roots[2] = {kNoPage, kNoPage};  // of the free pages, of the tables
  uint64_t num_pages = 0;
  uint64_t transaction = 0;
};

absl::Status Damaged(absl::string_view why) {
  return absl::DataLossError(absl::StrCat("data.mdb ", why));
}

absl::StatusOr<Meta> ReadMeta(const OpenFile& file, uint64_t offset) {
  std::vector<char> page(kPageHeaderBytes + kMetaBytes);
  if (!file.Read(offset, page)) return Damaged("is cut short");
  const char* at = page.data() + kPageHeaderBytes;
  const char* tables = at + 24;
  const Meta meta{.page_bytes = NumberAt<uint32_t>(tables),
                  .roots = {NumberAt<uint64_t>(tables + kTableBytes - 8),
                            NumberAt<uint64_t>(tables + 2 * kTableBytes - 8)},
                  .num_pages = NumberAt<uint64_t>(at + 120) + 1,
                  .transaction = NumberAt<uint64_t>(at + 128)};
  const bool is_size = meta.page_bytes >= 512 && meta.page_bytes <= 65'536 &&
                       (meta.page_bytes & (meta.page_bytes - 1)) == 0;
  if (NumberAt<uint32_t>(at) != kMagic || NumberAt<uint32_t>(at + 4) != kVersion ||
      !is_size) {
    return Damaged("is no file of this version of LMDB");
  }
  return meta;
}

absl::StatusOr<Meta> NewestMeta(const OpenFile& file) {
  STEPWELL_ASSIGN_OR_RETURN(const Meta first, ReadMeta(file, 0));
  STEPWELL_ASSIGN_OR_RETURN(const Meta second, ReadMeta(file, first.page_bytes));
  return first.transaction >= second.transaction ? first : second;
}

// Visits every page that can be reached and looks whether the file has it.
class PageWalk {
 public:
  PageWalk(const OpenFile& file, const Meta& meta)
      : file_(file),
        num_there_(file.Size() / meta.page_bytes),
        page_(meta.page_bytes),
        wanted_(std::begin(meta.roots), std::end(meta.roots)) {}

  absl::Status Run() {
    // More visits than pages would be a tree that bites its tail.
    for (uint64_t visits = 0; !wanted_.empty(); ++visits) {
      const uint64_t number = wanted_.back();
      wanted_.pop_back();
      if (number == kNoPage) continue;
      if (visits > num_there_) return Damaged("has pages that lead in a circle");
      STEPWELL_RETURN_IF_ERROR(Visit(number));
    }
    return absl::OkStatus();
  }

 private:
  absl::Status Visit(uint64_t number) {
    if (number >= num_there_) return Damaged("is cut short");
    const char* page = page_.data();
    if (!file_.Read(number * page_.size(), page_)) return Damaged("is cut short");
    const auto flags = NumberAt<uint16_t>(page + 10);
    const auto lower = NumberAt<uint16_t>(page + 12);
    const bool is_tree = flags == kBranch || flags == kLeaf;
    if (NumberAt<uint64_t>(page) != number || !is_tree || lower < kPageHeaderBytes ||
        lower > page_.size()) {
      return Damaged(absl::StrCat("has a damaged page ", number));
    }
    for (uint64_t at = kPageHeaderBytes; at + 2 <= lower; at += 2) {
      STEPWELL_RETURN_IF_ERROR(
          VisitNode(number, NumberAt<uint16_t>(page + at), flags == kLeaf));
    }
    return absl::OkStatus();
  }

  absl::Status VisitNode(uint64_t number, uint64_t at, bool is_leaf) {
    const auto damaged = [&] {
      return Damaged(absl::StrCat("has a damaged page ", number));
    };
    if (at + kNodeHeaderBytes > page_.size()) return damaged();
    const char* node = page_.data() + at;
    const uint64_t low = NumberAt<uint32_t>(node);
    const auto flags = NumberAt<uint16_t>(node + 4);
    if (!is_leaf) {
      wanted_.push_back(low | uint64_t{flags} << 32);
      return absl::OkStatus();
    }
    const uint64_t data = at + kNodeHeaderBytes + NumberAt<uint16_t>(node + 6);
    if ((flags & kBigData) != 0) {
      if (data + 8 > page_.size()) return damaged();
      const auto first = NumberAt<uint64_t>(page_.data() + data);
      const uint64_t last = first + (kPageHeaderBytes - 1 + low) / page_.size();
      if (last < first || last >= num_there_) return Damaged("is cut short");
    } else if ((flags & kSubTable) != 0) {
      if (data + kTableBytes > page_.size()) return damaged();
      wanted_.push_back(NumberAt<uint64_t>(page_.data() + data + kTableBytes - 8));
    }
    return absl::OkStatus();
  }

  const OpenFile& file_;
  const uint64_t num_there_;
  std::vector<char> page_;
  std::vector<uint64_t> wanted_;
};

absl::Status CheckOnce(const OpenFile& file) {
  STEPWELL_ASSIGN_OR_RETURN(const Meta meta, NewestMeta(file));
  // Measured after the meta page was read, which is written after what it needs.
  if (file.Size() / meta.page_bytes >= meta.num_pages) return absl::OkStatus();
  return PageWalk(file, meta).Run();
}

}  // namespace

absl::Status CheckDataFile(const std::string& folder) {
  const std::string path = folder + "/data.mdb";
  const OpenFile file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.is_open() || file.Size() == 0) return absl::OkStatus();
  absl::Status status;
  for (int i = 0; i < kTries; ++i) {
    // Again, for a writer may have taken a page into use that was being looked at.
    status = CheckOnce(file);
    if (status.ok()) break;
  }
  return status;
}

}  // namespace stepwell::lmdb
