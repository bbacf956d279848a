// The entry of the fuzzer. It writes nothing and makes no system call: a row file is a
// span of bytes here.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "cc/base/crc32c.h"
#include "cc/row_file/raw_header.h"
#include "cc/row_file/row_file_view.h"

namespace stepwell::row_file {
namespace {

// Makes every checksum right that has a place, as an enemy would: otherwise the fuzzer
// would see no code behind the first of them. Everything else stays.
void Seal(std::vector<char>& bytes) {
  RawHeader raw;
  if (bytes.size() < sizeof(raw)) return;
  std::memcpy(&raw, bytes.data(), sizeof(raw));
  const uint64_t tables_end = sizeof(raw) + uint64_t{raw.num_tables} * sizeof(RawTable);
  if (tables_end > bytes.size()) return;
  if (raw.payload_offset >= tables_end && raw.payload_offset <= bytes.size()) {
    const uint64_t room = (raw.payload_offset - tables_end) / sizeof(uint32_t);
    uint64_t begin = raw.payload_offset;
    for (uint64_t block = 0; block < room && begin < bytes.size(); ++block) {
      const uint64_t size = std::min<uint64_t>(raw.block_bytes, bytes.size() - begin);
      const uint32_t crc = ExtendCrc32c(0, &bytes[begin], size);
      std::memcpy(&bytes[tables_end + block * sizeof(crc)], &crc, sizeof(crc));
      begin += size;
    }
    raw.checksums_crc32c =
        ExtendCrc32c(0, bytes.data() + tables_end, raw.payload_offset - tables_end);
  }
  std::vector<RawTable> lines(raw.num_tables);
  if (!lines.empty()) {
    std::memcpy(lines.data(), &bytes[sizeof(raw)], tables_end - sizeof(raw));
  }
  raw.header_crc32c = HeaderChecksum(raw, lines);
  std::memcpy(bytes.data(), &raw, sizeof(raw));
}

void Require(bool holds) {
  if (!holds) __builtin_trap();
}

// What every accepted file keeps: tables in order, apart from each other, inside of the
// bytes; every row and block readable.
void UseIfAccepted(const std::vector<char>& bytes, bool is_sealed) {
  const auto view = RowFileView::Parse(bytes);
  if (!view.ok()) return;
  uint64_t end = 0;
  for (size_t i = 0; i < view->tables().size(); ++i) {
    const RowTable& table = view->tables()[i];
    Require(!table.name.empty() && table.dim > 0);
    Require(table.default_row < static_cast<int64_t>(table.num_rows));
    Require(view->OffsetInPayload(i) >= end);
    end = view->OffsetInPayload(i) + table.num_rows * table.RowBytes();
    Require(end <= view->payload().size());
    const absl::Span<const char> rows = view->TableBytes(i);
    Require(rows.size() == table.num_rows * table.RowBytes());
    ExtendCrc32c(0, rows.data(), rows.size());
  }
  Require(end == view->payload().size());
  const bool blocks_hold = view->CheckBlocks().ok();
  Require(blocks_hold || !is_sealed);
}

}  // namespace
}  // namespace stepwell::row_file

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<char> bytes(data, data + size);
  stepwell::row_file::UseIfAccepted(bytes, /*is_sealed=*/false);
  stepwell::row_file::Seal(bytes);
  stepwell::row_file::UseIfAccepted(bytes, /*is_sealed=*/true);
  return 0;
}
