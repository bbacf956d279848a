// The sections of an index file in memory.
#ifndef STEPWELL_CC_INDEX_INDEX_FILE_VIEW_H_
#define STEPWELL_CC_INDEX_INDEX_FILE_VIEW_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "cc/index/index_file_format.h"

namespace stepwell::index {

// A view of bytes that nobody changes. Nothing in it was allocated for a count of the
// file. Concurrency: const.
class IndexFileView {
 public:
  // Header, file size and the table of checksums; not yet the payload. `file` must be
  // aligned to 64 bytes and outlive the view. DataLoss says what is wrong;
  // FailedPrecondition for another format version. Cost: 4 bytes a block are read.
  static absl::StatusOr<IndexFileView> Parse(absl::Span<const char> file);

  const IndexFileHeader& header() const { return header_; }
  const IndexFileLayout& layout() const { return layout_; }

  // FailedPrecondition when the kind differs, or the hash where one is expected.
  absl::Status CheckIs(IndexFileKind kind, const SpaceHash* expected_space_hash) const;

  absl::Span<const char> payload() const {
    return file_.subspan(layout_.payload_offset());
  }
  absl::Span<const char> bytes(IndexSection section) const {
    const IndexFileLayout::Extent& extent = layout_.extent(section);
    return payload().subspan(extent.bytes == 0 ? 0 : extent.offset, extent.bytes);
  }
  // A section as numbers of its own type.
  template <typename T>
  absl::Span<const T> values(IndexSection section) const {
    const absl::Span<const char> all = bytes(section);
    return {reinterpret_cast<const T*>(all.data()), all.size() / sizeof(T)};
  }

  // The bytes of one block, and whether their checksum is right.
  absl::Span<const char> block(uint64_t number) const;
  bool BlockIsRight(uint64_t number) const;
  // The block's number, its place in the file and the sections in it.
  std::string BlockName(uint64_t number) const;

 private:
  IndexFileView() = default;

  absl::Span<const char> file_;
  IndexFileHeader header_;
  IndexFileLayout layout_;
};

// Compares every block with its checksum and every number of the payload with what it
// may be: labels >= 0 or none, each once; levels that fit the lists; links to nodes
// that are no free places and reach that level; vectors and codes that a distance can
// be computed of. After this, reading the sections as the header says touches no other
// memory, whoever made the file.
//
// DataLoss names the section and what is wrong; the first wrong block where a checksum
// is. Uses at most `num_threads` threads. Throws std::bad_alloc. Cost: the payload is
// read once, at the speed of memory where it is in the page cache.
absl::Status CheckIndexFileContent(const IndexFileView& view, int num_threads);

}  // namespace stepwell::index

#endif  // STEPWELL_CC_INDEX_INDEX_FILE_VIEW_H_
