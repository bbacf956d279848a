// The file of an index: sections with checksums behind a checked header.
//
//   header, 96 bytes   magic, version, kind, parameters, count, space hash,
//   checksum section table      24 bytes a section: name, checksum, offset,
//   size sections           each at a multiple of 64 bytes, zeros in between
//
// Little-endian. Every byte of the file is under a checksum or required to be
// zero. All sizes follow from the header, and the sections must tile the file
// exactly, so a reader knows every size before it allocates anything.
#ifndef STEPWELL_CC_INDEX_INDEX_FILE_H_
#define STEPWELL_CC_INDEX_INDEX_FILE_H_

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "cc/base/new_file.h"
#include "cc/base/status_macros.h"
#include "cc/index/ann_index.h"

namespace stepwell::index {

// The numbers are in the files: never reuse one.
enum class IndexKind : uint32_t { kFlat = 1, kHnsw = 2 };

enum class Section : uint32_t {
  kLabels = 1,      // int64 [count]
  kVectors = 2,     // float32 [count, dim], as compared: unit norm under cosine
  kDeleted = 3,     // uint8 [count], 0 or 1
  kLevels = 4,      // uint8 [count], the node's highest level
  kBaseLinks = 5,   // uint32 [count, 1 + 2 M]: number of links, links, zeros
  kUpperLinks = 6,  // uint32 [sum of levels, 1 + M], nodes in order, level 1 first
};

struct FileHeader {
  IndexKind kind = IndexKind::kFlat;
  Metric metric = Metric::kInnerProduct;
  uint32_t dim = 0;
  uint32_t m = 0;
  uint32_t ef_construction = 0;
  int32_t max_level = -1;
  uint32_t entry_row = 0;
  uint64_t count = 0;
  uint64_t seed = 0;
  SpaceHash space_hash{};
};

// A line of the section table, as it is in the file.
struct SectionEntry {
  Section section;
  uint32_t crc32c;
  uint64_t offset;
  uint64_t size;
};

// Writes a NewFile at `path`. One thread. Without a successful Commit nothing is
// left behind and an older file at `path` is untouched.
class IndexFileWriter {
 public:
  // Unavailable when the directory cannot be written.
  static absl::StatusOr<std::unique_ptr<IndexFileWriter>> Create(std::string path);

  IndexFileWriter(const IndexFileWriter&) = delete;
  IndexFileWriter& operator=(const IndexFileWriter&) = delete;

  absl::Status AddSection(Section section, absl::Span<const char> bytes);

  // A section in pieces: Begin, any number of Appends, then the next section or
  // Commit.
  absl::Status BeginSection(Section section);
  absl::Status Append(absl::Span<const char> bytes);

  // Header, fsync, rename, fsync of the directory.
  absl::Status Commit(const FileHeader& header);

 private:
  explicit IndexFileWriter(std::unique_ptr<NewFile> file);
  absl::Status Flush();

  const std::unique_ptr<NewFile> file_;
  uint64_t end_;  // of what is in the file; `pending_` follows
  std::vector<char> pending_;
  std::vector<SectionEntry> entries_;
};

// Reads a file that nobody changes. One thread. Every error about the bytes is
// DataLoss and names the path and what is wrong.
class IndexFileReader {
 public:
  // Checks header, table and the file's size. NotFound, DataLoss, or
  // FailedPrecondition for a format version that this code does not know.
  static absl::StatusOr<std::unique_ptr<IndexFileReader>> Open(std::string path);

  ~IndexFileReader();
  IndexFileReader(const IndexFileReader&) = delete;
  IndexFileReader& operator=(const IndexFileReader&) = delete;

  const FileHeader& header() const { return header_; }

  // FailedPrecondition when the kind differs, or the hash where one is
  // expected.
  absl::Status CheckIs(IndexKind kind, const SpaceHash* expected_space_hash) const;

  // Size of a section in bytes, 0 when it is not there.
  uint64_t SectionSize(Section section) const;

  // Gives the section, which must have `size` bytes, to `consume` in pieces
  // that are multiples of `unit` bytes, then checks the sum. What was consumed
  // is to be thrown away when this fails.
  absl::Status ReadSection(Section section, uint64_t size, uint64_t unit,
                           absl::FunctionRef<void(absl::Span<const char>)> consume);

  // A section of exactly `num_values` values; the size is checked before
  // allocation.
  template <typename T>
  absl::StatusOr<std::vector<T>> ReadArray(Section section, uint64_t num_values) {
    const uint64_t size = num_values * sizeof(T);
    STEPWELL_RETURN_IF_ERROR(CheckSize(section, size));
    std::vector<T> values(num_values);
    auto* to = reinterpret_cast<char*>(values.data());
    STEPWELL_RETURN_IF_ERROR(
        ReadSection(section, size, sizeof(T), [&to](absl::Span<const char> piece) {
          to = std::copy(piece.begin(), piece.end(), to);
        }));
    return values;
  }

  // DataLoss about this file with the message of `check`, OK when that is OK.
  absl::Status CheckContent(const absl::Status& check) const;

 private:
  IndexFileReader(std::string path, int descriptor);
  absl::Status Corrupt(absl::string_view what) const;
  absl::Status ReadHeader();
  absl::Status CheckTiling() const;
  absl::Status ReadAt(uint64_t offset, absl::Span<char> bytes) const;
  const SectionEntry* Find(Section section) const;
  absl::Status CheckSize(Section section, uint64_t size) const;

  const std::string path_;
  const int descriptor_;
  uint64_t file_size_ = 0;
  FileHeader header_;
  std::vector<SectionEntry> entries_;
};

template <typename T>
absl::Span<const char> AsBytes(absl::Span<const T> values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

}  // namespace stepwell::index

#endif  // STEPWELL_CC_INDEX_INDEX_FILE_H_
