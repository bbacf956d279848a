#include <utility>

#include "cc/base/crc32c.h"
#include "cc/base/status_macros.h"
#include "cc/index/index_file.h"
#include "cc/index/index_file_layout.h"

namespace stepwell::index {
namespace {

constexpr size_t kPendingBytes = size_t{1} << 20;

// Room for the longest table: how long it is shows only after the last section.
constexpr uint64_t kFirstSection = Aligned(EndOfTable(kMaxSections));

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
  STEPWELL_ASSIGN_OR_RETURN(std::unique_ptr<NewFile> file,
                            NewFile::Create(std::move(path)));
  return std::unique_ptr<IndexFileWriter>(new IndexFileWriter(std::move(file)));
}

IndexFileWriter::IndexFileWriter(std::unique_ptr<NewFile> file)
    : file_(std::move(file)), end_(kFirstSection) {
  pending_.reserve(kPendingBytes);
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
    STEPWELL_RETURN_IF_ERROR(file_->WriteAt(end_, bytes));
    end_ += bytes.size();
  } else {
    pending_.insert(pending_.end(), bytes.begin(), bytes.end());
  }
  return absl::OkStatus();
}

absl::Status IndexFileWriter::Flush() {
  STEPWELL_RETURN_IF_ERROR(file_->WriteAt(end_, pending_));
  end_ += pending_.size();
  pending_.clear();
  return absl::OkStatus();
}

absl::Status IndexFileWriter::Commit(const FileHeader& header) {
  STEPWELL_RETURN_IF_ERROR(Flush());
  // A last section of no bytes leaves the file shorter than its offset.
  STEPWELL_RETURN_IF_ERROR(file_->SetSize(end_));
  RawHeader raw = ToRaw(header, static_cast<uint32_t>(entries_.size()));
  raw.crc32c = HeaderChecksum(raw, entries_);
  STEPWELL_RETURN_IF_ERROR(
      file_->WriteAt(0, {reinterpret_cast<const char*>(&raw), sizeof(raw)}));
  STEPWELL_RETURN_IF_ERROR(
      file_->WriteAt(sizeof(raw), AsBytes(absl::MakeConstSpan(entries_))));
  return file_->Publish();
}

}  // namespace stepwell::index
