// How an HnswIndex becomes a file and back.
#include <algorithm>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"
#include "cc/index/hnsw_index.h"
#include "cc/index/hnswlib_import.h"
#include "cc/index/new_index_file.h"
#include "cc/index/open_index_file.h"

namespace stepwell::index {
namespace {

// What one node holds, as the file says it.
std::vector<int64_t> LabelsOf(const GraphStorage& storage,
                              const std::vector<uint32_t>& free_nodes) {
  std::vector<int64_t> labels(static_cast<size_t>(storage.num_nodes()));
  for (uint32_t node = 0; node < labels.size(); ++node) {
    labels[node] = storage.hidden(node) ? kDeadLabel : storage.label(node);
  }
  for (uint32_t node : free_nodes) labels[node] = kNoLabel;
  return labels;
}

std::vector<uint32_t> NodesByLabel(const std::vector<int64_t>& labels) {
  std::vector<uint32_t> nodes;
  for (uint32_t node = 0; node < labels.size(); ++node) {
    if (labels[node] >= 0) nodes.push_back(node);
  }
  const auto by_label = [&labels](uint32_t a, uint32_t b) {
    return labels[a] < labels[b];
  };
  if (!std::is_sorted(nodes.begin(), nodes.end(), by_label)) {
    std::sort(nodes.begin(), nodes.end(), by_label);
  }
  return nodes;
}

// The sections of a graph. Free nodes are written as if they had never been used:
// what is deleted leaves no bytes behind.
class GraphWriter {
 public:
  GraphWriter(NewIndexFile& file, const GraphStorage& storage,
              const std::vector<int64_t>& labels)
      : file_(file), storage_(storage), labels_(labels) {}

  absl::Status Write(absl::Span<const uint32_t> nodes_by_label) {
    const auto num_nodes = static_cast<uint32_t>(labels_.size());
    std::vector<uint8_t> levels(num_nodes);
    for (uint32_t node = 0; node < num_nodes; ++node) {
      levels[node] = static_cast<uint8_t>(storage_.level(node));
    }
    STEPWELL_RETURN_IF_ERROR(
        file_.AppendValues(IndexSection::kLabels, absl::MakeConstSpan(labels_)));
    STEPWELL_RETURN_IF_ERROR(
        file_.AppendValues(IndexSection::kLevels, absl::MakeConstSpan(levels)));
    STEPWELL_RETURN_IF_ERROR(
        file_.AppendValues(IndexSection::kNodesByLabel, nodes_by_label));
    STEPWELL_RETURN_IF_ERROR(WriteLinks());
    STEPWELL_RETURN_IF_ERROR(WriteRows(IndexSection::kCodes, storage_.codes(),
                                       storage_.codec().code_stride()));
    if (!storage_.shape().keep_vectors) return absl::OkStatus();
    return WriteRows(IndexSection::kVectors, storage_.vectors(),
                     static_cast<size_t>(storage_.shape().dim) * sizeof(float));
  }

 private:
  absl::Status WriteLinks() {
    for (uint32_t node = 0; node < labels_.size(); ++node) {
      STEPWELL_RETURN_IF_ERROR(WriteList(IndexSection::kBaseLinks, node, 0));
    }
    for (uint32_t node = 0; node < labels_.size(); ++node) {
      for (int level = 1; level <= storage_.level(node); ++level) {
        STEPWELL_RETURN_IF_ERROR(WriteList(IndexSection::kUpperLinks, node, level));
      }
    }
    return absl::OkStatus();
  }

  absl::Status WriteList(IndexSection section, uint32_t node, int level) {
    const auto size = static_cast<size_t>(storage_.list_size(level));
    if (labels_[node] != kNoLabel) {
      return file_.AppendValues(section,
                                absl::MakeConstSpan(storage_.links(node, level), size));
    }
    empty_list_.assign(size, kNoNode);
    return file_.AppendValues(section, absl::MakeConstSpan(empty_list_));
  }

  absl::Status WriteRows(IndexSection section, RowBlock rows, size_t row_bytes) {
    const std::vector<char> zeros(row_bytes);
    for (uint32_t node = 0; node < labels_.size(); ++node) {
      const char* row = labels_[node] == kNoLabel
                            ? zeros.data()
                            : rows.base + node * rows.stride_bytes;
      STEPWELL_RETURN_IF_ERROR(file_.Append(section, {row, row_bytes}));
    }
    return absl::OkStatus();
  }

  NewIndexFile& file_;
  const GraphStorage& storage_;
  const std::vector<int64_t>& labels_;
  std::vector<uint32_t> empty_list_;
};

IndexFileHeader HeaderOf(const HnswOptions& options, const GraphStorage& storage) {
  IndexFileHeader header;
  header.kind = IndexFileKind::kHnsw;
  header.metric = options.metric;
  header.dim = options.dim;
  header.m = options.m;
  header.ef_construction = options.ef_construction;
  header.seed = options.seed;
  header.codes = options.codes;
  header.keep_vectors = storage.shape().keep_vectors;
  if (options.codes == CodeKind::kInt8) {
    header.code_limit = storage.codec().limit();
    header.keep_limit = options.int8_limit > 0;
  }
  header.code_stride = static_cast<int64_t>(storage.codec().code_stride());
  header.num_upper_lists = storage.num_upper_lists();
  header.num_nodes = storage.num_nodes();
  header.space_hash = options.space_hash;
  return header;
}

HnswOptions OptionsOf(const IndexFileHeader& header, const HnswOpenOptions& open) {
  HnswOptions options;
  options.dim = header.dim;
  options.metric = header.metric;
  options.m = header.m;
  options.ef_construction = header.ef_construction;
  options.seed = header.seed;
  options.codes = header.codes;
  options.keep_vectors = header.keep_vectors;
  options.int8_limit = header.keep_limit ? header.code_limit : 0;
  options.space_hash = header.space_hash;
  options.num_threads = open.num_threads;
  options.background = open.background;
  return options;
}

MappedArrays ArraysOf(const OpenedIndexFile& file) {
  const IndexFileView& view = file.view;
  MappedArrays arrays;
  arrays.codes = view.bytes(IndexSection::kCodes).data();
  arrays.vectors = view.values<float>(IndexSection::kVectors).data();
  arrays.base_links = view.values<uint32_t>(IndexSection::kBaseLinks).data();
  arrays.upper_links = view.values<uint32_t>(IndexSection::kUpperLinks).data();
  arrays.labels = view.values<int64_t>(IndexSection::kLabels).data();
  arrays.levels = view.values<uint8_t>(IndexSection::kLevels).data();
  arrays.mapping = file.mapping;
  return arrays;
}

}  // namespace

absl::Status HnswIndex::Save(const std::string& path) const {
  try {
    std::unique_lock alone(writers_);
    const GraphStorage& storage = graph_.storage();
    const std::vector<int64_t> labels = LabelsOf(storage, free_);
    const std::vector<uint32_t> nodes_by_label = NodesByLabel(labels);
    IndexFileHeader header = HeaderOf(options_, storage);
    header.num_items = static_cast<int64_t>(nodes_by_label.size());
    header.entry_node = graph_.entry().node;
    header.max_level = graph_.entry().level;
    STEPWELL_ASSIGN_OR_RETURN(auto file, NewIndexFile::Create(path, header));
    STEPWELL_RETURN_IF_ERROR(GraphWriter(*file, storage, labels).Write(nodes_by_label));
    return file->Commit();
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError(
        absl::StrCat("saving ", path, ": memory is out"));
  }
}

absl::StatusOr<std::unique_ptr<HnswIndex>> HnswIndex::Open(
    const std::string& path, const SpaceHash* expected_space_hash,
    const HnswOpenOptions& open_options) {
  STEPWELL_ASSIGN_OR_RETURN(
      const OpenedIndexFile file,
      OpenIndexFile(path, IndexFileKind::kHnsw, expected_space_hash));
  const IndexFileHeader& header = file.view.header();
  const HnswOptions options = OptionsOf(header, open_options);
  STEPWELL_RETURN_IF_ERROR(CheckHnswOptions(options));
  const VectorCodec codec(header.codes, header.metric, header.dim, header.code_limit);
  try {
    auto storage = std::make_unique<GraphStorage>(
        GraphShape{header.dim, header.m, header.seed, codec, header.keep_vectors},
        header.num_nodes, ArraysOf(file));
    return Adopt(options, std::move(storage), {header.entry_node, header.max_level},
                 file.view.values<uint32_t>(IndexSection::kNodesByLabel));
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError(
        absl::StrCat("opening ", path, ": memory is out"));
  }
}

absl::StatusOr<std::unique_ptr<HnswIndex>> HnswIndex::ImportHnswlib(
    const std::string& path, const HnswOptions& options) {
  STEPWELL_RETURN_IF_ERROR(CheckHnswOptions(options));
  STEPWELL_ASSIGN_OR_RETURN(const auto mapping, MappedFile::Open(path));
  try {
    absl::StatusOr<HnswlibGraph> graph = ReadHnswlibGraph(
        mapping->bytes(), {options.dim, options.metric, options.codes,
                           options.keep_vectors, options.int8_limit, options.seed});
    STEPWELL_RETURN_IF_ERROR(AboutIndexFile(path, graph.status()));
    HnswOptions imported = options;
    imported.m = graph->storage->shape().m;
    imported.ef_construction = graph->ef_construction;
    return Adopt(imported, std::move(graph->storage),
                 {graph->entry_node, graph->entry_level}, {});
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError(
        absl::StrCat("importing ", path, ": memory is out"));
  }
}

}  // namespace stepwell::index
