#include "cc/index/index_file_view.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cc/base/crc32c.h"
#include "cc/base/status_macros.h"

namespace stepwell::index {
namespace {

absl::string_view KindName(IndexFileKind kind) {
  return kind == IndexFileKind::kFlat ? "flat" : "hnsw";
}

}  // namespace

absl::StatusOr<IndexFileView> IndexFileView::Parse(absl::Span<const char> file) {
  RawIndexHeader raw;
  STEPWELL_RETURN_IF_ERROR(CheckRawIndexHeader(file, raw));
  IndexFileView view;
  view.file_ = file;
  view.header_ = FromRaw(raw);
  STEPWELL_RETURN_IF_ERROR(CheckIndexFileHeader(view.header_));
  view.layout_ = IndexFileLayout(view.header_);
  if (view.layout_.file_bytes() != file.size() || raw.file_bytes != file.size()) {
    return absl::DataLossError(absl::StrCat("has ", file.size(),
                                            " bytes, its header asks for ",
                                            view.layout_.file_bytes()));
  }
  const absl::Span<const char> table =
      file.subspan(sizeof(raw), view.layout_.payload_offset() - sizeof(raw));
  if (ExtendCrc32c(0, table.data(), table.size()) != raw.table_crc32c) {
    return absl::DataLossError("wrong checksum of the table of block checksums");
  }
  return view;
}

absl::Status IndexFileView::CheckIs(IndexFileKind kind,
                                    const SpaceHash* expected_space_hash) const {
  if (header_.kind != kind) {
    return absl::FailedPreconditionError(absl::StrCat(
        "an index of kind ", KindName(header_.kind), ", expected ", KindName(kind)));
  }
  if (expected_space_hash != nullptr && *expected_space_hash != header_.space_hash) {
    return absl::FailedPreconditionError(
        "made for another embedding space (hash differs)");
  }
  return absl::OkStatus();
}

absl::Span<const char> IndexFileView::block(uint64_t number) const {
  return payload().subspan(number * header_.block_bytes, header_.block_bytes);
}

bool IndexFileView::BlockIsRight(uint64_t number) const {
  uint32_t expected;
  std::memcpy(&expected,
              file_.data() + sizeof(RawIndexHeader) + number * sizeof(expected),
              sizeof(expected));
  const absl::Span<const char> bytes = block(number);
  return ExtendCrc32c(0, bytes.data(), bytes.size()) == expected;
}

std::string IndexFileView::BlockName(uint64_t number) const {
  const uint64_t begin = number * header_.block_bytes;
  const uint64_t end = begin + block(number).size();
  std::string sections;
  for (size_t i = 0; i < kNumIndexSections; ++i) {
    const auto section = static_cast<IndexSection>(i);
    const IndexFileLayout::Extent& extent = layout_.extent(section);
    if (extent.bytes == 0 || extent.offset >= end ||
        extent.offset + extent.bytes <= begin) {
      continue;
    }
    const std::string_view name = IndexSectionName(section);
    absl::StrAppend(&sections, sections.empty() ? "" : ", ",
                    absl::string_view(name.data(), name.size()));
  }
  return absl::StrCat("block ", number, " (", sections, "; bytes ",
                      layout_.payload_offset() + begin, " to ",
                      layout_.payload_offset() + end, ")");
}

}  // namespace stepwell::index
