#include "cc/index/new_index_file.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cc/base/crc32c.h"
#include "cc/base/status_macros.h"

namespace stepwell::index {
namespace {

// In pieces of a huge page the page cache can hold the file in huge pages.
constexpr size_t kPieceBytes = size_t{2} << 20;

}  // namespace

absl::StatusOr<std::unique_ptr<NewIndexFile>> NewIndexFile::Create(
    std::string path, const IndexFileHeader& header) {
  const absl::Status readable = CheckIndexFileHeader(header);
  if (!readable.ok()) return absl::InternalError(readable.message());
  STEPWELL_ASSIGN_OR_RETURN(std::unique_ptr<NewFile> file,
                            NewFile::Create(std::move(path)));
  return std::unique_ptr<NewIndexFile>(new NewIndexFile(std::move(file), header));
}

NewIndexFile::NewIndexFile(std::unique_ptr<NewFile> file, const IndexFileHeader& header)
    : file_(std::move(file)), header_(header), layout_(header) {
  pending_.reserve(kPieceBytes);
  block_crcs_.reserve(layout_.num_blocks());
}

absl::Status NewIndexFile::Append(IndexSection section, absl::Span<const char> bytes) {
  const IndexFileLayout::Extent& extent = layout_.extent(section);
  if (bytes.empty()) return absl::OkStatus();
  if (appended_ < extent.offset) STEPWELL_RETURN_IF_ERROR(PadTo(extent.offset));
  if (appended_ + bytes.size() > extent.offset + extent.bytes) {
    const std::string_view name = IndexSectionName(section);
    return absl::InternalError(absl::StrCat(
        "too many bytes for section ", absl::string_view(name.data(), name.size())));
  }
  return AppendToPayload(bytes);
}

absl::Status NewIndexFile::PadTo(uint64_t offset) {
  constexpr char kZeros[kIndexFileAlignment] = {};
  if (offset - appended_ >= sizeof(kZeros)) {
    return absl::InternalError("a section of an index file was left out");
  }
  return AppendToPayload({kZeros, offset - appended_});
}

absl::Status NewIndexFile::AppendToPayload(absl::Span<const char> bytes) {
  while (!bytes.empty()) {
    const uint64_t block_left = header_.block_bytes - appended_ % header_.block_bytes;
    const uint64_t place = layout_.payload_offset() + written_ + pending_.size();
    const size_t n = std::min<uint64_t>(
        {bytes.size(), block_left, kPieceBytes - place % kPieceBytes});
    block_crc_ = ExtendCrc32c(block_crc_, bytes.data(), n);
    pending_.insert(pending_.end(), bytes.begin(), bytes.begin() + n);
    bytes.remove_prefix(n);
    appended_ += n;
    if (n == block_left) EndBlock();
    if ((place + n) % kPieceBytes == 0) STEPWELL_RETURN_IF_ERROR(Flush());
  }
  return absl::OkStatus();
}

void NewIndexFile::EndBlock() {
  block_crcs_.push_back(block_crc_);
  block_crc_ = 0;
}

absl::Status NewIndexFile::Flush() {
  STEPWELL_RETURN_IF_ERROR(
      file_->WriteAt(layout_.payload_offset() + written_, pending_));
  written_ += pending_.size();
  pending_.clear();
  return absl::OkStatus();
}

absl::Status NewIndexFile::Commit() {
  if (appended_ != layout_.payload_bytes()) {
    return absl::InternalError(absl::StrCat("an index file of ", appended_, " of ",
                                            layout_.payload_bytes(), " bytes"));
  }
  STEPWELL_RETURN_IF_ERROR(Flush());
  if (appended_ % header_.block_bytes != 0) EndBlock();
  std::vector<char> table(layout_.payload_offset() - sizeof(RawIndexHeader));
  if (!block_crcs_.empty()) {
    std::memcpy(table.data(), block_crcs_.data(),
                block_crcs_.size() * sizeof(uint32_t));
  }
  RawIndexHeader raw = ToRaw(header_, layout_);
  raw.table_crc32c = ExtendCrc32c(0, table.data(), table.size());
  raw.header_crc32c = HeaderCrc32c(raw);
  STEPWELL_RETURN_IF_ERROR(
      file_->WriteAt(0, {reinterpret_cast<const char*>(&raw), sizeof(raw)}));
  STEPWELL_RETURN_IF_ERROR(file_->WriteAt(sizeof(raw), table));
  return file_->Publish();
}

}  // namespace stepwell::index
