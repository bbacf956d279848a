// Reads the file that hnswlib 0.8 writes.
#ifndef STEPWELL_CC_INDEX_HNSWLIB_IMPORT_H_
#define STEPWELL_CC_INDEX_HNSWLIB_IMPORT_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "cc/index/graph_storage.h"
#include "cc/index/metric.h"

namespace stepwell::index {

// What the file does not say.
struct HnswlibImportOptions {
  int64_t dim = 0;  // 1 .. kMaxDim
  Metric metric = Metric::kInnerProduct;
  CodeKind codes = CodeKind::kInt8;
  bool keep_vectors = true;
  float int8_limit = 0;  // 0: from the vectors
  uint64_t seed = 0;     // of nodes that are added later
};

struct HnswlibGraph {
  // In memory; every node is hidden. A label is kDeadLabel where the element is marked
  // as deleted.
  std::unique_ptr<GraphStorage> storage;
  int64_t ef_construction = 1;
  uint32_t entry_node = kNoNode;
  int entry_level = -1;
};

// Takes over vectors, labels and graph of float32 elements, as
// HierarchicalNSW<float>::saveIndex wrote them; under cosine each vector gets unit
// norm. A file of hnswlib holds no checksum and not even its own size, and hnswlib
// itself believes what it reads: here every count, size, level, link and label is
// checked before it is used, and nothing is allocated for a count that the file is too
// short for.
//
// DataLoss names what is wrong; FailedPrecondition where the file is of another dim, or
// its M is out of [2, 128] or its lists of other sizes than M and 2 M. Throws
// std::bad_alloc. Cost: the file is read once, and each vector coded.
absl::StatusOr<HnswlibGraph> ReadHnswlibGraph(absl::Span<const char> file,
                                              const HnswlibImportOptions& options);

}  // namespace stepwell::index

#endif  // STEPWELL_CC_INDEX_HNSWLIB_IMPORT_H_
