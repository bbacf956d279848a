#include "cc/row_file/row_table.h"

#include <algorithm>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "cc/base/field_error.h"
#include "cc/base/status_macros.h"
#include "cc/row_file/raw_header.h"

namespace stepwell::row_file {
namespace {

constexpr uint64_t kMinAlignment = 64, kMaxAlignment = uint64_t{2} << 20;
constexpr uint64_t kMinBlockBytes = 64, kMaxBlockBytes = uint64_t{1} << 30;

uint64_t RoundUp(uint64_t value, uint64_t unit) {
  return (value + unit - 1) / unit * unit;
}

absl::Status CheckPowerOfTwo(absl::string_view field, uint64_t value, uint64_t low,
                             uint64_t high) {
  if (value >= low && value <= high && (value & (value - 1)) == 0) {
    return absl::OkStatus();
  }
  return FieldError(field, absl::StrCat("is ", value, ", must be a power of two in [",
                                        low, ", ", high, "]"));
}

bool IsName(absl::string_view name) {
  return !name.empty() && name.size() <= kMaxNameBytes &&
         std::all_of(name.begin(), name.end(),
                     [](char byte) { return byte >= ' ' && byte <= '~'; });
}

absl::Status CheckTable(const RowTable& table, uint64_t number) {
  const std::string field = absl::StrCat("table ", number);
  if (!IsName(table.name)) {
    return FieldError(field, absl::StrCat("has a name of ", table.name.size(),
                                          " bytes, must be 1 to ", kMaxNameBytes,
                                          " printable ASCII characters"));
  }
  if (!kernels::IsRowFormat(static_cast<int64_t>(table.row_format))) {
    return FieldError(
        field, absl::StrCat("has row format ", static_cast<int64_t>(table.row_format),
                            ", must be in [0, ", kernels::kNumRowFormats - 1, "]"));
  }
  if (table.dim < 1 || table.dim > kMaxDim) {
    return FieldError(
        field, absl::StrCat("has dim ", table.dim, ", must be in [1, ", kMaxDim, "]"));
  }
  const uint64_t max_rows = kMaxPayloadBytes / table.RowBytes();
  if (table.num_rows > max_rows) {
    return FieldError(field, absl::StrCat("has ", table.num_rows,
                                          " rows, must be at most ", max_rows));
  }
  if (table.default_row < -1 ||
      table.default_row >= static_cast<int64_t>(table.num_rows)) {
    return FieldError(
        field, absl::StrCat("has default row ", table.default_row, ", must be in [-1, ",
                            static_cast<int64_t>(table.num_rows) - 1, "]"));
  }
  return absl::OkStatus();
}

}  // namespace

uint64_t RowTable::RowBytes() const {
  return static_cast<uint64_t>(
      kernels::RowBytes(row_format, static_cast<int64_t>(dim)));
}

absl::Status CheckTables(absl::Span<const RowTable> tables) {
  if (tables.empty() || tables.size() > kMaxTables) {
    return FieldError("tables", absl::StrCat("has ", tables.size(),
                                             " entries, must have 1 to ", kMaxTables));
  }
  absl::flat_hash_set<absl::string_view> names;
  uint64_t payload_bytes = 0;
  for (uint64_t number = 0; number < tables.size(); ++number) {
    const RowTable& table = tables[number];
    STEPWELL_RETURN_IF_ERROR(CheckTable(table, number));
    if (!names.insert(table.name).second) {
      return FieldError(absl::StrCat("table ", number),
                        absl::StrCat("has the name of another one: ", table.name));
    }
    // Room for the gap as well; neither addend is above 2^48.
    payload_bytes += RoundUp(table.Bytes(), kMaxAlignment);
    if (payload_bytes > kMaxPayloadBytes) {
      return FieldError(absl::StrCat("table ", number),
                        absl::StrCat("ends beyond ", kMaxPayloadBytes, " bytes"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckOptions(const BlockOptions& options) {
  STEPWELL_RETURN_IF_ERROR(CheckPowerOfTwo("block_bytes", options.block_bytes,
                                           kMinBlockBytes, kMaxBlockBytes));
  return CheckPowerOfTwo("alignment", options.alignment, kMinAlignment, kMaxAlignment);
}

Layout LayOut(absl::Span<const RowTable> tables, const BlockOptions& options) {
  // The number of blocks decides where the payload starts, so offsets are counted from
  // there first.
  Layout layout;
  uint64_t end = 0;
  for (const RowTable& table : tables) {
    const uint64_t start = RoundUp(end, options.alignment);
    layout.table_offsets.push_back(start);
    end = start + table.Bytes();
  }
  layout.num_blocks = RoundUp(end, options.block_bytes) / options.block_bytes;
  layout.checksums_offset = sizeof(RawHeader) + tables.size() * sizeof(RawTable);
  layout.payload_offset =
      RoundUp(layout.checksums_offset + layout.num_blocks * sizeof(uint32_t),
              options.alignment);
  layout.file_bytes = layout.payload_offset + end;
  for (uint64_t& offset : layout.table_offsets) offset += layout.payload_offset;
  return layout;
}

}  // namespace stepwell::row_file
