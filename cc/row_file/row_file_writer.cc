#include "cc/row_file/row_file_writer.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cc/base/crc32c.h"
#include "cc/base/field_error.h"
#include "cc/base/status_macros.h"
#include "cc/row_file/raw_header.h"

namespace stepwell::row_file {
namespace {

// Writes end at multiples of a huge page, so that the page cache may keep the file in
// huge pages from the start.
constexpr uint64_t kWriteBytes = uint64_t{2} << 20;

template <typename T>
absl::Span<const char> BytesOf(const T* values, size_t num_values) {
  return {reinterpret_cast<const char*>(values), num_values * sizeof(T)};
}

RawTable ToRaw(const RowTable& table, uint64_t offset) {
  RawTable raw{};
  raw.offset = offset;
  raw.num_rows = table.num_rows;
  raw.default_row = table.default_row;
  raw.dim = static_cast<uint32_t>(table.dim);
  raw.row_format = static_cast<uint32_t>(table.row_format);
  std::copy(table.name.begin(), table.name.end(), raw.name);
  return raw;
}

}  // namespace

absl::StatusOr<std::unique_ptr<RowFileWriter>> RowFileWriter::Create(
    std::string path, std::vector<RowTable> tables, const BlockOptions& options) {
  STEPWELL_RETURN_IF_ERROR(CheckTables(tables));
  STEPWELL_RETURN_IF_ERROR(CheckOptions(options));
  STEPWELL_ASSIGN_OR_RETURN(std::unique_ptr<NewFile> file,
                            NewFile::Create(std::move(path)));
  return std::unique_ptr<RowFileWriter>(
      new RowFileWriter(std::move(file), std::move(tables), options));
}

RowFileWriter::RowFileWriter(std::unique_ptr<NewFile> file,
                             std::vector<RowTable> tables, const BlockOptions& options)
    : file_(std::move(file)),
      tables_(std::move(tables)),
      options_(options),
      layout_(LayOut(tables_, options)),
      written_bytes_(tables_.size()),
      end_(layout_.payload_offset) {
  pending_.reserve(kWriteBytes);
}

absl::Status RowFileWriter::CheckComplete(size_t num_tables) const {
  for (size_t i = 0; i < num_tables; ++i) {
    if (written_bytes_[i] == tables_[i].Bytes()) continue;
    const uint64_t row_bytes = tables_[i].RowBytes();
    return absl::FailedPreconditionError(absl::StrCat(
        "table ", i, " (", tables_[i].name, ") has ", written_bytes_[i] / row_bytes,
        " of its ", tables_[i].num_rows, " rows"));
  }
  return absl::OkStatus();
}

absl::Status RowFileWriter::Append(size_t table, absl::Span<const char> rows) {
  STEPWELL_RETURN_IF_ERROR(CheckOpen());
  if (table >= tables_.size()) {
    return CheckRange("table", static_cast<int64_t>(table), 0,
                      static_cast<int64_t>(tables_.size()) - 1);
  }
  STEPWELL_RETURN_IF_ERROR(CheckComplete(table));
  const uint64_t row_bytes = tables_[table].RowBytes();
  const uint64_t missing = tables_[table].Bytes() - written_bytes_[table];
  if (rows.size() % row_bytes != 0 || rows.size() > missing) {
    return FieldError(
        "rows", absl::StrCat("has ", rows.size(), " bytes, must be rows of ", row_bytes,
                             " bytes and at most the ", missing / row_bytes,
                             " missing of ", tables_[table].name));
  }
  if (rows.empty()) return absl::OkStatus();
  if (written_bytes_[table] == 0) {
    STEPWELL_RETURN_IF_ERROR(Pad(layout_.table_offsets[table]));
  }
  written_bytes_[table] += rows.size();
  return Put(rows);
}

absl::Status RowFileWriter::CheckOpen() const {
  if (state_ == State::kOpen) return absl::OkStatus();
  return absl::FailedPreconditionError(state_ == State::kCommitted
                                           ? "the file is committed"
                                           : "an earlier write failed");
}

absl::Status RowFileWriter::Pad(uint64_t offset) {
  const std::vector<char> zeros(offset - end_ - pending_.size());
  return Put(zeros);
}

absl::Status RowFileWriter::Put(absl::Span<const char> bytes) {
  Sum(bytes);
  while (!bytes.empty()) {
    const uint64_t room = kWriteBytes - (end_ + pending_.size()) % kWriteBytes;
    const auto piece = bytes.subspan(0, room);
    pending_.insert(pending_.end(), piece.begin(), piece.end());
    if (piece.size() == room) STEPWELL_RETURN_IF_ERROR(Flush());
    bytes.remove_prefix(piece.size());
  }
  return absl::OkStatus();
}

void RowFileWriter::Sum(absl::Span<const char> bytes) {
  while (!bytes.empty()) {
    if (summed_ % options_.block_bytes == 0) checksums_.push_back(0);
    const uint64_t room = options_.block_bytes - summed_ % options_.block_bytes;
    const auto piece = bytes.subspan(0, room);
    checksums_.back() = ExtendCrc32c(checksums_.back(), piece.data(), piece.size());
    summed_ += piece.size();
    bytes.remove_prefix(piece.size());
  }
}

absl::Status RowFileWriter::Flush() {
  state_ = State::kFailed;  // until it has not
  STEPWELL_RETURN_IF_ERROR(file_->WriteAt(end_, pending_));
  state_ = State::kOpen;
  end_ += pending_.size();
  pending_.clear();
  return absl::OkStatus();
}

absl::Status RowFileWriter::Commit() {
  STEPWELL_RETURN_IF_ERROR(CheckOpen());
  STEPWELL_RETURN_IF_ERROR(CheckComplete(tables_.size()));
  // Tables without rows at the end: their place is the end of the file.
  STEPWELL_RETURN_IF_ERROR(Pad(layout_.file_bytes));
  STEPWELL_RETURN_IF_ERROR(Flush());
  state_ = State::kFailed;
  STEPWELL_RETURN_IF_ERROR(WriteHeader());
  STEPWELL_RETURN_IF_ERROR(file_->Publish());
  state_ = State::kCommitted;
  return absl::OkStatus();
}

absl::Status RowFileWriter::WriteHeader() const {
  std::vector<RawTable> lines;
  for (size_t i = 0; i < tables_.size(); ++i) {
    lines.push_back(ToRaw(tables_[i], layout_.table_offsets[i]));
  }
  std::vector<char> sums(layout_.payload_offset - layout_.checksums_offset);
  if (!checksums_.empty()) {
    std::memcpy(sums.data(), checksums_.data(), checksums_.size() * sizeof(uint32_t));
  }
  RawHeader raw{};
  std::memcpy(raw.magic, kMagic, sizeof(kMagic));
  raw.version = kFormatVersion;
  raw.num_tables = static_cast<uint32_t>(tables_.size());
  raw.file_bytes = layout_.file_bytes;
  raw.payload_offset = layout_.payload_offset;
  raw.num_blocks = layout_.num_blocks;
  raw.block_bytes = static_cast<uint32_t>(options_.block_bytes);
  raw.alignment = static_cast<uint32_t>(options_.alignment);
  raw.checksums_crc32c = ExtendCrc32c(0, sums.data(), sums.size());
  raw.header_crc32c = HeaderChecksum(raw, lines);
  STEPWELL_RETURN_IF_ERROR(file_->WriteAt(0, BytesOf(&raw, 1)));
  STEPWELL_RETURN_IF_ERROR(
      file_->WriteAt(sizeof(raw), BytesOf(lines.data(), lines.size())));
  return file_->WriteAt(layout_.checksums_offset, sums);
}

}  // namespace stepwell::row_file
