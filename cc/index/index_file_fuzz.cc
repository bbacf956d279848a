// Looks for a file that breaks the reader of index files, or whoever uses what it
// accepted.
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "cc/index/fuzzed_graph.h"
#include "cc/index/index_file_sample.h"
#include "cc/index/index_file_view.h"

namespace stepwell::index {
namespace {

// The mapping is that of the caller.
void Serve(const IndexFileView& view) {
  const IndexFileHeader& header = view.header();
  if (header.kind != IndexFileKind::kHnsw) return;
  const VectorCodec codec(header.codes, header.metric, header.dim, header.code_limit);
  MappedArrays arrays;
  arrays.codes = view.bytes(IndexSection::kCodes).data();
  arrays.vectors = view.values<float>(IndexSection::kVectors).data();
  arrays.base_links = view.values<uint32_t>(IndexSection::kBaseLinks).data();
  arrays.upper_links = view.values<uint32_t>(IndexSection::kUpperLinks).data();
  arrays.labels = view.values<int64_t>(IndexSection::kLabels).data();
  arrays.levels = view.values<uint8_t>(IndexSection::kLevels).data();
  const GraphStorage storage(
      {header.dim, header.m, header.seed, codec, header.keep_vectors}, header.num_nodes,
      std::move(arrays));
  UseGraph(storage, header.entry_node, header.max_level);
}

void ReadAndServe(absl::Span<const char> file) {
  const AlignedCopy copy(file);
  const absl::StatusOr<IndexFileView> view = IndexFileView::Parse(copy.bytes());
  if (view.ok() && CheckIndexFileContent(*view, 1).ok()) Serve(*view);
}

}  // namespace
}  // namespace stepwell::index

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string file(reinterpret_cast<const char*>(data), size);
  stepwell::index::ReadAndServe(file);
  // No fuzzer guesses a checksum: behind them lies what an enemy can reach.
  stepwell::index::MendIndexFile(file);
  stepwell::index::ReadAndServe(file);
  return 0;
}
