// An index file on its way to being served.
#ifndef STEPWELL_CC_INDEX_OPEN_INDEX_FILE_H_
#define STEPWELL_CC_INDEX_OPEN_INDEX_FILE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "cc/index/index_file_view.h"
#include "cc/index/mapped_file.h"

namespace stepwell::index {

struct OpenedIndexFile {
  std::shared_ptr<const MappedFile> mapping;  // what the view looks at
  IndexFileView view;
};

// Maps the file and checks all of it, with up to four threads. NotFound without one;
// DataLoss when any of its bytes is not what was written, or what no index holds;
// FailedPrecondition for another format version, another kind of index or, where a
// hash is expected, another embedding space; ResourceExhausted without memory for the
// check; Unavailable when the system refuses. All name the path.
absl::StatusOr<OpenedIndexFile> OpenIndexFile(const std::string& path,
                                              IndexFileKind kind,
                                              const SpaceHash* expected_space_hash);

// `status` with the path before its message.
absl::Status AboutIndexFile(const std::string& path, const absl::Status& status);

}  // namespace stepwell::index

#endif  // STEPWELL_CC_INDEX_OPEN_INDEX_FILE_H_
