#include "cc/row_file/row_file_view.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "cc/base/crc32c.h"
#include "cc/base/status_macros.h"
#include "cc/row_file/raw_header.h"

namespace stepwell::row_file {
namespace {

absl::Status Corrupt(absl::string_view what) { return absl::DataLossError(what); }

// An error about a caller's value becomes one about the file's bytes.
absl::Status AsCorrupt(const absl::Status& status) {
  return status.ok() ? status : Corrupt(status.message());
}

absl::StatusOr<RowTable> FromRaw(const RawTable& raw, uint64_t number) {
  const char* end = std::find(raw.name, raw.name + sizeof(raw.name), '\0');
  if (!std::all_of(end, raw.name + sizeof(raw.name), [](char c) { return c == 0; })) {
    return Corrupt(absl::StrCat("table ", number, " has bytes after its name's end"));
  }
  return RowTable{.name = std::string(raw.name, end),
                  .row_format = static_cast<kernels::RowFormat>(raw.row_format),
                  .num_rows = raw.num_rows,
                  .dim = raw.dim,
                  .default_row = raw.default_row};
}

}  // namespace

absl::StatusOr<RowFileView> RowFileView::Parse(absl::Span<const char> bytes) {
  RowFileView view;
  view.bytes_ = bytes;
  STEPWELL_RETURN_IF_ERROR(view.ParseHeader());
  return view;
}

absl::Status RowFileView::ParseHeader() {
  RawHeader raw;
  if (bytes_.size() < sizeof(raw)) {
    return Corrupt(absl::StrCat(bytes_.size(), " bytes are too few for a header of ",
                                sizeof(raw)));
  }
  std::memcpy(&raw, bytes_.data(), sizeof(raw));
  if (std::memcmp(raw.magic, kMagic, sizeof(kMagic)) != 0) {
    return Corrupt("not a row file: wrong magic");
  }
  const uint64_t tables_end = sizeof(raw) + uint64_t{raw.num_tables} * sizeof(RawTable);
  if (raw.num_tables > kMaxTables || tables_end > bytes_.size()) {
    return Corrupt(absl::StrCat(raw.num_tables, " tables end beyond the file's ",
                                bytes_.size(), " bytes"));
  }
  // Summed in place: the table lines may lie unaligned in the bytes.
  RawHeader unsealed = raw;
  unsealed.header_crc32c = 0;
  const uint32_t crc = ExtendCrc32c(0, &unsealed, sizeof(unsealed));
  if (ExtendCrc32c(crc, bytes_.data() + sizeof(raw), tables_end - sizeof(raw)) !=
      raw.header_crc32c) {
    return Corrupt(
        absl::StrCat("wrong checksum of the header, bytes 0 to ", tables_end));
  }
  // After the checksum: a flipped bit is damage, not a newer version.
  if (raw.version != kFormatVersion) {
    return absl::FailedPreconditionError(absl::StrCat("format version ", raw.version,
                                                      ", this program reads version ",
                                                      kFormatVersion));
  }
  if (raw.file_bytes != bytes_.size()) {
    return Corrupt(absl::StrCat("has ", bytes_.size(), " bytes, its header says ",
                                raw.file_bytes));
  }
  if (raw.reserved != 0) return Corrupt("a reserved field is not zero");
  STEPWELL_RETURN_IF_ERROR(ParseTables(raw));
  return CheckChecksums(raw.checksums_crc32c);
}

absl::Status RowFileView::ParseTables(const RawHeader& raw) {
  options_ = {.block_bytes = raw.block_bytes, .alignment = raw.alignment};
  STEPWELL_RETURN_IF_ERROR(AsCorrupt(CheckOptions(options_)));
  std::vector<uint64_t> offsets;
  for (uint64_t number = 0; number < raw.num_tables; ++number) {
    RawTable line;
    std::memcpy(&line, &bytes_[sizeof(raw) + number * sizeof(line)], sizeof(line));
    STEPWELL_ASSIGN_OR_RETURN(RowTable table, FromRaw(line, number));
    tables_.push_back(std::move(table));
    offsets.push_back(line.offset);
  }
  STEPWELL_RETURN_IF_ERROR(AsCorrupt(CheckTables(tables_)));
  layout_ = LayOut(tables_, options_);
  for (uint64_t number = 0; number < offsets.size(); ++number) {
    if (offsets[number] == layout_.table_offsets[number]) continue;
    return Corrupt(absl::StrCat("table ", number, " lies at ", offsets[number],
                                ", must lie at ", layout_.table_offsets[number]));
  }
  if (layout_.payload_offset != raw.payload_offset ||
      layout_.num_blocks != raw.num_blocks || layout_.file_bytes != raw.file_bytes) {
    return Corrupt(absl::StrCat("header has payload at ", raw.payload_offset, ", ",
                                raw.num_blocks, " blocks, ", raw.file_bytes,
                                " bytes; its tables make ", layout_.payload_offset,
                                ", ", layout_.num_blocks, ", ", layout_.file_bytes));
  }
  return absl::OkStatus();
}

absl::Status RowFileView::CheckChecksums(uint32_t expected) const {
  const uint64_t begin = layout_.checksums_offset, end = layout_.payload_offset;
  if (ExtendCrc32c(0, bytes_.data() + begin, end - begin) == expected) {
    return absl::OkStatus();
  }
  return Corrupt(
      absl::StrCat("wrong checksum of the checksums, bytes ", begin, " to ", end));
}

absl::Status RowFileView::CheckBlock(uint64_t block) const {
  uint32_t expected;
  std::memcpy(&expected,
              bytes_.data() + layout_.checksums_offset + block * sizeof(expected),
              sizeof(expected));
  const uint64_t begin = block * options_.block_bytes;
  const uint64_t size =
      std::min<uint64_t>(options_.block_bytes, payload().size() - begin);
  if (ExtendCrc32c(0, payload().data() + begin, size) == expected) {
    return absl::OkStatus();
  }
  const uint64_t offset = layout_.payload_offset + begin;
  return Corrupt(absl::StrCat("wrong checksum of block ", block, " of ", num_blocks(),
                              ", bytes ", offset, " to ", offset + size));
}

absl::Status RowFileView::CheckBlocks() const {
  for (uint64_t block = 0; block < num_blocks(); ++block) {
    STEPWELL_RETURN_IF_ERROR(CheckBlock(block));
  }
  return absl::OkStatus();
}

}  // namespace stepwell::row_file
