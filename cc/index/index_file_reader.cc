#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cc/base/crc32c.h"
#include "cc/base/status_macros.h"
#include "cc/index/index_file.h"
#include "cc/index/index_file_layout.h"

namespace stepwell::index {
namespace {

constexpr uint64_t kPieceBytes = uint64_t{1} << 20;

// The first gap is the unused rest of the table, any other is less than one
// alignment.
constexpr uint64_t kMaxGapBytes = EndOfTable(kMaxSections) + kSectionAlignment;

absl::StatusOr<FileHeader> FromRaw(const RawHeader& raw) {
  FileHeader header;
  if (raw.kind != static_cast<uint32_t>(IndexKind::kFlat) &&
      raw.kind != static_cast<uint32_t>(IndexKind::kHnsw)) {
    return absl::DataLossError(absl::StrCat("unknown kind ", raw.kind));
  }
  header.kind = static_cast<IndexKind>(raw.kind);
  STEPWELL_ASSIGN_OR_RETURN(header.metric, MetricFromNumber(raw.metric));
  if (raw.dim < 1 || raw.dim > kMaxDim) {
    return absl::DataLossError(absl::StrCat("dim ", raw.dim, " is out of range"));
  }
  if (raw.count > static_cast<uint64_t>(kMaxItems)) {
    return absl::DataLossError(absl::StrCat("count ", raw.count, " is out of range"));
  }
  header.dim = raw.dim;
  header.m = raw.m;
  header.ef_construction = raw.ef_construction;
  header.max_level = raw.max_level;
  header.entry_row = raw.entry_row;
  header.count = raw.count;
  header.seed = raw.seed;
  std::copy_n(raw.space_hash, header.space_hash.size(), header.space_hash.begin());
  return header;
}

}  // namespace

absl::StatusOr<std::unique_ptr<IndexFileReader>> IndexFileReader::Open(
    std::string path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) {
    const int error = errno;
    const std::string message =
        absl::StrCat("cannot open ", path, ": ", std::strerror(error));
    return error == ENOENT ? absl::NotFoundError(message)
                           : absl::UnavailableError(message);
  }
  std::unique_ptr<IndexFileReader> reader(
      new IndexFileReader(std::move(path), descriptor));
  STEPWELL_RETURN_IF_ERROR(reader->ReadHeader());
  STEPWELL_RETURN_IF_ERROR(reader->CheckTiling());
  return reader;
}

IndexFileReader::IndexFileReader(std::string path, int descriptor)
    : path_(std::move(path)), descriptor_(descriptor) {}

IndexFileReader::~IndexFileReader() { close(descriptor_); }

absl::Status IndexFileReader::Corrupt(absl::string_view what) const {
  return absl::DataLossError(absl::StrCat(path_, ": ", what));
}

absl::Status IndexFileReader::CheckContent(const absl::Status& check) const {
  return check.ok() ? check : Corrupt(std::string(check.message()));
}

absl::Status IndexFileReader::ReadHeader() {
  struct stat status;
  if (fstat(descriptor_, &status) != 0 || !S_ISREG(status.st_mode)) {
    return Corrupt("not a regular file");
  }
  file_size_ = static_cast<uint64_t>(status.st_size);
  RawHeader raw;
  if (file_size_ < sizeof(raw)) {
    return Corrupt(absl::StrCat(file_size_, " bytes are too few for a header"));
  }
  STEPWELL_RETURN_IF_ERROR(ReadAt(0, {reinterpret_cast<char*>(&raw), sizeof(raw)}));
  if (std::memcmp(raw.magic, kMagic, sizeof(kMagic)) != 0) {
    return Corrupt("not an index file: wrong magic");
  }
  if (raw.num_sections > kMaxSections || EndOfTable(raw.num_sections) > file_size_) {
    return Corrupt("the section table does not fit into the file");
  }
  entries_.resize(raw.num_sections);
  STEPWELL_RETURN_IF_ERROR(
      ReadAt(sizeof(raw), {reinterpret_cast<char*>(entries_.data()),
                           entries_.size() * sizeof(SectionEntry)}));
  if (HeaderChecksum(raw, entries_) != raw.crc32c) {
    return Corrupt("wrong checksum of the header");
  }
  // After the checksum: a flipped bit is damage, not a newer version.
  if (raw.version != kFormatVersion) {
    return absl::FailedPreconditionError(
        absl::StrCat(path_, ": format version ", raw.version,
                     ", this program reads version ", kFormatVersion));
  }
  absl::StatusOr<FileHeader> header = FromRaw(raw);
  STEPWELL_RETURN_IF_ERROR(CheckContent(header.status()));
  header_ = *header;
  return absl::OkStatus();
}

absl::Status IndexFileReader::CheckTiling() const {
  uint64_t end = EndOfTable(entries_.size());
  for (const SectionEntry& entry : entries_) {
    if (entry.offset % kSectionAlignment != 0 || entry.offset < end ||
        entry.offset > file_size_ || entry.size > file_size_ - entry.offset ||
        entry.offset - end > kMaxGapBytes) {
      return Corrupt("a section lies outside of the file or over another one");
    }
    char gap[kMaxGapBytes];
    const absl::Span<char> bytes(gap, entry.offset - end);
    STEPWELL_RETURN_IF_ERROR(ReadAt(end, bytes));
    if (std::any_of(bytes.begin(), bytes.end(), [](char byte) { return byte != 0; })) {
      return Corrupt("a gap between sections is not zero");
    }
    end = entry.offset + entry.size;
  }
  if (end != file_size_) {
    return Corrupt(
        absl::StrCat("has ", file_size_, " bytes, its sections end at ", end));
  }
  return absl::OkStatus();
}

absl::Status IndexFileReader::ReadAt(uint64_t offset, absl::Span<char> bytes) const {
  while (!bytes.empty()) {
    const ssize_t got =
        pread(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      const int error = errno;
      return absl::UnavailableError(
          absl::StrCat("cannot read ", path_, ": ", std::strerror(error)));
    }
    if (got == 0) return Corrupt("ends while it is read");
    offset += static_cast<uint64_t>(got);
    bytes.remove_prefix(static_cast<size_t>(got));
  }
  return absl::OkStatus();
}

absl::Status IndexFileReader::CheckIs(IndexKind kind,
                                      const SpaceHash* expected_space_hash) const {
  if (header_.kind != kind) {
    return absl::FailedPreconditionError(
        absl::StrCat(path_, ": an index of kind ", static_cast<int>(header_.kind),
                     ", expected kind ", static_cast<int>(kind)));
  }
  if (expected_space_hash != nullptr && *expected_space_hash != header_.space_hash) {
    return absl::FailedPreconditionError(
        absl::StrCat(path_, ": made for another embedding space (hash differs)"));
  }
  return absl::OkStatus();
}

const SectionEntry* IndexFileReader::Find(Section section) const {
  for (const SectionEntry& entry : entries_) {
    if (entry.section == section) return &entry;
  }
  return nullptr;
}

uint64_t IndexFileReader::SectionSize(Section section) const {
  const SectionEntry* entry = Find(section);
  return entry == nullptr ? 0 : entry->size;
}

absl::Status IndexFileReader::CheckSize(Section section, uint64_t size) const {
  if (SectionSize(section) == size) return absl::OkStatus();
  return Corrupt(absl::StrCat("section ", static_cast<uint32_t>(section), " has ",
                              SectionSize(section), " bytes, must have ", size));
}

absl::Status IndexFileReader::ReadSection(
    Section section, uint64_t size, uint64_t unit,
    absl::FunctionRef<void(absl::Span<const char>)> consume) {
  STEPWELL_RETURN_IF_ERROR(CheckSize(section, size));
  const SectionEntry* entry = Find(section);
  if (entry == nullptr) return absl::OkStatus();  // size is 0
  const uint64_t piece_bytes = std::max<uint64_t>(kPieceBytes / unit, 1) * unit;
  std::vector<char> buffer(std::min(piece_bytes, size));
  uint32_t crc = 0;
  for (uint64_t done = 0; done < size;) {
    const absl::Span<char> piece(buffer.data(), std::min(piece_bytes, size - done));
    STEPWELL_RETURN_IF_ERROR(ReadAt(entry->offset + done, piece));
    crc = ExtendCrc32c(crc, piece.data(), piece.size());
    consume(piece);
    done += piece.size();
  }
  if (crc == entry->crc32c) return absl::OkStatus();
  return Corrupt(
      absl::StrCat("wrong checksum of section ", static_cast<uint32_t>(section)));
}

}  // namespace stepwell::index
