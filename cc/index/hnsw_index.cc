#include "cc/index/hnsw_index.h"

#include <algorithm>
#include <exception>
#include <shared_mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cc/base/field_error.h"
#include "cc/base/status_macros.h"
#include "cc/index/input_checks.h"

namespace stepwell::index {
namespace {

// The limit of int8 codes before the first item is known.
constexpr float kUnknownLimit = 1;

std::unique_ptr<GraphStorage> EmptyStorage(const HnswOptions& options) {
  const float limit = options.int8_limit > 0 ? options.int8_limit : kUnknownLimit;
  const VectorCodec codec(options.codes, options.metric, options.dim, limit);
  return std::make_unique<GraphStorage>(
      GraphShape{options.dim, options.m, options.seed, codec, options.keep_vectors}, 0);
}

}  // namespace

absl::Status CheckHnswOptions(const HnswOptions& options) {
  STEPWELL_RETURN_IF_ERROR(CheckRange("dim", options.dim, 1, kMaxDim));
  STEPWELL_RETURN_IF_ERROR(CheckRange("M", options.m, 2, 128));
  STEPWELL_RETURN_IF_ERROR(
      CheckRange("ef_construction", options.ef_construction, 1, kMaxEf));
  STEPWELL_RETURN_IF_ERROR(CheckRange("capacity", options.capacity, 0, kMaxItems));
  if (!(options.int8_limit >= 0 && options.int8_limit <= kMaxInt8Limit)) {
    return FieldError("int8_limit", absl::StrCat("is ", options.int8_limit,
                                                 ", must be in [0, 1.8e19] (0: from "
                                                 "the items)"));
  }
  return CheckRange("num_threads", options.num_threads, 1, 64);
}

HnswIndex::HnswIndex(const HnswOptions& options, std::unique_ptr<GraphStorage> storage)
    : options_(options),
      graph_(std::move(storage), options.ef_construction),
      labels_(gate_),
      reclaimer_([this](const std::atomic<bool>& stop) { TidyUp(stop); }) {
  if (options_.codes == CodeKind::kFloat32) options_.keep_vectors = true;
}

HnswIndex::~HnswIndex() = default;

absl::StatusOr<std::unique_ptr<HnswIndex>> HnswIndex::Build(
    absl::Span<const float> vectors, absl::Span<const int64_t> ids,
    const HnswOptions& options, const BuildProgress& progress) {
  STEPWELL_RETURN_IF_ERROR(CheckHnswOptions(options));
  const auto num_rows = static_cast<int64_t>(ids.size());
  STEPWELL_RETURN_IF_ERROR(CheckRange("num_items", num_rows, 0, kMaxItems));
  STEPWELL_RETURN_IF_ERROR(
      CheckVectors(vectors, options.dim, num_rows, options.metric, "vectors"));
  STEPWELL_RETURN_IF_ERROR(CheckIds(ids));
  try {
    std::unique_ptr<HnswIndex> index(new HnswIndex(options, EmptyStorage(options)));
    STEPWELL_RETURN_IF_ERROR(index->Put(vectors, ids, progress));
    // Now and not later: what a build makes depends on its arguments alone.
    if (options.background) STEPWELL_RETURN_IF_ERROR(index->Reclaim());
    return index;
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError(
        absl::StrCat("building an index of ", num_rows, " items: memory is out"));
  }
}

std::unique_ptr<HnswIndex> HnswIndex::Adopt(const HnswOptions& options,
                                            std::unique_ptr<GraphStorage> storage,
                                            HnswGraph::Entry entry,
                                            absl::Span<const uint32_t> nodes_by_label) {
  std::unique_ptr<HnswIndex> index(new HnswIndex(options, std::move(storage)));
  GraphStorage& adopted = index->graph_.storage();
  index->graph_.SetEntry(entry);
  index->mapping_ = adopted.mapping();
  if (!adopted.writable()) {
    index->labels_.Adopt(adopted.labels(), nodes_by_label);
  } else {
    index->labels_.Reserve(adopted.num_nodes());
  }
  for (uint32_t node = 0; node < adopted.num_nodes(); ++node) {
    const int64_t label = adopted.label(node);
    if (label == kNoLabel) {
      index->free_.push_back(node);
    } else if (label == kDeadLabel) {
      index->dead_.push_back(node);
    } else if (adopted.writable()) {
      index->labels_.Put(label, node);
      adopted.set_hidden(node, false);
    }
  }
  return index;
}

absl::StatusOr<DeleteResult> HnswIndex::Delete(absl::Span<const int64_t> ids) {
  absl::StatusOr<DeleteResult> result = Hide(ids);
  NoteWrites();
  return result;
}

absl::StatusOr<DeleteResult> HnswIndex::Hide(absl::Span<const int64_t> ids) {
  DeleteResult result;
  std::shared_lock writers(writers_);
  std::lock_guard slots(slots_mutex_);
  try {
    dead_.reserve(dead_.size() + ids.size());
    for (int64_t id : ids) {
      const uint32_t node = id < 0 ? kNoNode : labels_.Remove(id);
      if (node == kNoNode) {
        ++result.num_unknown;
        continue;
      }
      graph_.storage().set_hidden(node, true);
      dead_.push_back(node);
      ++result.num_deleted;
    }
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError("deleting items: memory is out");
  }
  return result;
}

IndexStats HnswIndex::Stats() const {
  std::lock_guard slots(slots_mutex_);
  ReaderGate::Guard guard(gate_);
  const GraphStorage& storage = graph_.storage();
  IndexStats stats;
  stats.num_items = labels_.size();
  stats.num_deleted = static_cast<int64_t>(dead_.size());
  stats.num_nodes = storage.num_nodes();
  stats.num_free = static_cast<int64_t>(free_.size());
  stats.dim = options_.dim;
  stats.metric = options_.metric;
  stats.m = options_.m;
  stats.ef_construction = options_.ef_construction;
  stats.memory_bytes = storage.MemoryBytes() + labels_.MemoryBytes();
  stats.codes = CodeKindName(options_.codes);
  stats.keep_vectors = options_.keep_vectors;
  stats.mapped = !storage.writable() && storage.mapping() != nullptr;
  stats.space_hash = options_.space_hash;
  return stats;
}

std::vector<int64_t> HnswIndex::Ids() const {
  std::vector<int64_t> ids;
  ReaderGate::Guard guard(gate_);
  const GraphStorage& storage = graph_.storage();
  for (uint32_t node = 0; node < storage.num_nodes(); ++node) {
    if (!storage.hidden(node)) ids.push_back(storage.label(node));
  }
  std::sort(ids.begin(), ids.end());
  // An item that is being replaced is in two nodes for a moment.
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

absl::Status HnswIndex::Vectors(absl::Span<const int64_t> ids, float* out) const {
  ReaderGate::Guard guard(gate_);
  const GraphStorage& storage = graph_.storage();
  for (size_t i = 0; i < ids.size(); ++i, out += options_.dim) {
    const uint32_t node = ids[i] < 0 ? kNoNode : labels_.Find(ids[i]);
    if (node == kNoNode) {
      return absl::NotFoundError(absl::StrCat("ids has ", ids[i], " at ", i,
                                              ", which is no item of the index"));
    }
    if (const float* vector = storage.vector(node); vector != nullptr) {
      std::copy_n(vector, options_.dim, out);
    } else {
      storage.codec().Decode(storage.code(node), out);
    }
  }
  return absl::OkStatus();
}

}  // namespace stepwell::index
