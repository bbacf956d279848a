#include "cc/index/open_index_file.h"

#include <algorithm>
#include <new>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"

namespace stepwell::index {
namespace {

// Past it the memory is what one waits for.
constexpr unsigned kMostThreads = 4;

absl::Status CheckAll(const IndexFileView& view, IndexFileKind kind,
                      const SpaceHash* expected_space_hash) {
  STEPWELL_RETURN_IF_ERROR(view.CheckIs(kind, expected_space_hash));
  const unsigned num_cores = std::max(1u, std::thread::hardware_concurrency());
  const uint64_t num_threads =
      std::min<uint64_t>({kMostThreads, num_cores, view.layout().num_blocks() / 8 + 1});
  try {
    return CheckIndexFileContent(view, static_cast<int>(num_threads));
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError("no memory to check the file");
  }
}

}  // namespace

absl::Status AboutIndexFile(const std::string& path, const absl::Status& status) {
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat(path, ": ", status.message()));
}

absl::StatusOr<OpenedIndexFile> OpenIndexFile(const std::string& path,
                                              IndexFileKind kind,
                                              const SpaceHash* expected_space_hash) {
  STEPWELL_ASSIGN_OR_RETURN(std::shared_ptr<const MappedFile> mapping,
                            MappedFile::Open(path));
  absl::StatusOr<IndexFileView> view = IndexFileView::Parse(mapping->bytes());
  STEPWELL_RETURN_IF_ERROR(AboutIndexFile(path, view.status()));
  STEPWELL_RETURN_IF_ERROR(
      AboutIndexFile(path, CheckAll(*view, kind, expected_space_hash)));
  return OpenedIndexFile{std::move(mapping), *std::move(view)};
}

}  // namespace stepwell::index
