#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cc/base/crc32c.h"
#include "cc/base/status_macros.h"
#include "cc/index/index_file.h"
#include "cc/index/index_file_layout.h"

namespace stepwell::index {
namespace {

constexpr size_t kPendingBytes = size_t{1} << 20;

// Room for the longest table: how long it is shows only after the last section.
constexpr uint64_t kFirstSection = Aligned(EndOfTable(kMaxSections));

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

RawHeader ToRaw(const FileHeader& header, uint32_t num_sections) {
  RawHeader raw{};
  std::memcpy(raw.magic, kMagic, sizeof(kMagic));
  raw.version = kFormatVersion;
  raw.kind = static_cast<uint32_t>(header.kind);
  raw.metric = static_cast<uint32_t>(header.metric);
  raw.dim = header.dim;
  raw.m = header.m;
  raw.ef_construction = header.ef_construction;
  raw.max_level = header.max_level;
  raw.entry_row = header.entry_row;
  raw.count = header.count;
  raw.seed = header.seed;
  std::memcpy(raw.space_hash, header.space_hash.data(), sizeof(raw.space_hash));
  raw.num_sections = num_sections;
  return raw;
}

}  // namespace

absl::StatusOr<std::unique_ptr<IndexFileWriter>> IndexFileWriter::Create(
    std::string path) {
  // The same directory, so that the rename cannot cross a file system.
  std::string temporary = absl::StrCat(path, ".tmp.XXXXXX");
  const int descriptor = mkostemp(temporary.data(), O_CLOEXEC);
  if (descriptor < 0) return FileError("create", temporary);
  return std::unique_ptr<IndexFileWriter>(
      new IndexFileWriter(std::move(path), std::move(temporary), descriptor));
}

IndexFileWriter::IndexFileWriter(std::string path, std::string temporary,
                                 int descriptor)
    : path_(std::move(path)),
      temporary_(std::move(temporary)),
      descriptor_(descriptor),
      end_(kFirstSection) {
  pending_.reserve(kPendingBytes);
}

IndexFileWriter::~IndexFileWriter() {
  if (descriptor_ < 0) return;
  close(descriptor_);
  unlink(temporary_.c_str());
}

absl::Status IndexFileWriter::AddSection(Section section,
                                         absl::Span<const char> bytes) {
  STEPWELL_RETURN_IF_ERROR(BeginSection(section));
  return Append(bytes);
}

absl::Status IndexFileWriter::BeginSection(Section section) {
  STEPWELL_RETURN_IF_ERROR(Flush());
  if (entries_.size() == kMaxSections) {
    return absl::InternalError("an index file has no room for another section");
  }
  // What lies between is never written: a hole reads as zeros.
  end_ = Aligned(end_);
  entries_.push_back({section, 0, end_, 0});
  return absl::OkStatus();
}

absl::Status IndexFileWriter::Append(absl::Span<const char> bytes) {
  SectionEntry& entry = entries_.back();
  entry.crc32c = ExtendCrc32c(entry.crc32c, bytes.data(), bytes.size());
  entry.size += bytes.size();
  if (pending_.size() + bytes.size() > kPendingBytes) {
    STEPWELL_RETURN_IF_ERROR(Flush());
  }
  if (bytes.size() > kPendingBytes) {
    STEPWELL_RETURN_IF_ERROR(WriteAt(end_, bytes));
    end_ += bytes.size();
  } else {
    pending_.insert(pending_.end(), bytes.begin(), bytes.end());
  }
  return absl::OkStatus();
}

absl::Status IndexFileWriter::Flush() {
  STEPWELL_RETURN_IF_ERROR(WriteAt(end_, pending_));
  end_ += pending_.size();
  pending_.clear();
  return absl::OkStatus();
}

absl::Status IndexFileWriter::WriteAt(uint64_t offset,
                                      absl::Span<const char> bytes) const {
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

absl::Status IndexFileWriter::Commit(const FileHeader& header) {
  STEPWELL_RETURN_IF_ERROR(Flush());
  // A last section of no bytes leaves the file shorter than its offset.
  if (ftruncate(descriptor_, static_cast<off_t>(end_)) != 0) {
    return FileError("set the size of", temporary_);
  }
  RawHeader raw = ToRaw(header, static_cast<uint32_t>(entries_.size()));
  raw.crc32c = HeaderChecksum(raw, entries_);
  STEPWELL_RETURN_IF_ERROR(
      WriteAt(0, {reinterpret_cast<const char*>(&raw), sizeof(raw)}));
  STEPWELL_RETURN_IF_ERROR(
      WriteAt(sizeof(raw), AsBytes(absl::MakeConstSpan(entries_))));
  return Publish();
}

absl::Status IndexFileWriter::Publish() {
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

}  // namespace stepwell::index
