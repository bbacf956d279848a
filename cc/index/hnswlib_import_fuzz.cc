// Looks for a file that breaks the import from hnswlib, or whoever uses what it took
// over. The corpus has vectors of 3 dimensions.
#include <cstddef>
#include <cstdint>

#include "cc/index/fuzzed_graph.h"
#include "cc/index/hnswlib_import.h"

namespace stepwell::index {
namespace {

void ReadAndServe(absl::Span<const char> file, const HnswlibImportOptions& options) {
  const absl::StatusOr<HnswlibGraph> graph = ReadHnswlibGraph(file, options);
  if (graph.ok()) UseGraph(*graph->storage, graph->entry_node, graph->entry_level);
}

}  // namespace
}  // namespace stepwell::index

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace stepwell::index;
  const AlignedCopy copy({reinterpret_cast<const char*>(data), size});
  ReadAndServe(copy.bytes(), {.dim = 3, .metric = Metric::kL2});
  ReadAndServe(copy.bytes(), {.dim = 3,
                              .metric = Metric::kCosine,
                              .codes = CodeKind::kBfloat16,
                              .keep_vectors = false});
  return 0;
}
