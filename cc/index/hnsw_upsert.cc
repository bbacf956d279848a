// How items come into an HnswIndex, and how it grows.
#include <algorithm>
#include <exception>
#include <numeric>
#include <shared_mutex>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"
#include "cc/index/hnsw_index.h"
#include "cc/index/input_checks.h"
#include "cc/index/run_in_order.h"

namespace stepwell::index {
namespace {

// Fewer items than this are not worth another thread.
constexpr int64_t kItemsPerThread = 32;

// Items linked between two chances for growth and Save, and so for the writers that
// wait behind those: a tenth of a second's work of one thread.
constexpr int64_t kItemsPerSlice = 1024;

// Room left by a growth, as a share of the nodes needed: churn replaces items before
// the old ones are taken out. Pages of it are not there until they are used.
constexpr int64_t kSpareShare = 8;

// A limit measured again is taken when clipping or coarse steps would cost recall;
// else the codes stay, which makes growth a copy.
constexpr float kLimitTooSmall = 1.05f, kLimitTooLarge = 0.5f;

// Rows that a limit is measured on.
constexpr int64_t kMaxLimitRows = 50'000;

// Evenly spread rows as they will be stored.
std::vector<float> StoredSample(absl::Span<const float> vectors, int64_t dim,
                                Metric metric) {
  const int64_t num_rows = static_cast<int64_t>(vectors.size()) / dim;
  const int64_t step = std::max<int64_t>(1, num_rows / kMaxLimitRows);
  std::vector<float> sample;
  for (int64_t row = 0; row < num_rows; row += step) {
    const std::vector<float> stored =
        StoredForm(vectors.subspan(row * dim, dim), dim, metric);
    sample.insert(sample.end(), stored.begin(), stored.end());
  }
  return sample;
}

}  // namespace

absl::Status HnswIndex::Upsert(absl::Span<const float> vectors,
                               absl::Span<const int64_t> ids) {
  STEPWELL_RETURN_IF_ERROR(CheckVectors(vectors, options_.dim,
                                        static_cast<int64_t>(ids.size()),
                                        options_.metric, "vectors"));
  STEPWELL_RETURN_IF_ERROR(CheckIds(ids));
  if (ids.empty()) return absl::OkStatus();
  HelpToReclaim();
  const absl::Status status = Put(vectors, ids, nullptr);
  FreeOutgrown();
  NoteWrites();
  return status;
}

absl::Status HnswIndex::Put(absl::Span<const float> vectors,
                            absl::Span<const int64_t> ids,
                            const BuildProgress& progress) {
  const auto count = static_cast<int64_t>(ids.size());
  std::vector<uint32_t> nodes;
  std::shared_lock writers(writers_);
  try {
    nodes.reserve(ids.size());
    while (!TakeNodes(count, nodes)) {
      if (graph_.storage().num_nodes() + count > kMaxItems) {
        return absl::ResourceExhaustedError(
            absl::StrCat("an index holds at most ", kMaxItems, " items"));
      }
      writers.unlock();
      Grow(count, vectors);
      writers.lock();
    }
    const Batch batch{vectors, ids, nodes, progress};
    const int64_t slice = kItemsPerSlice * options_.num_threads;
    for (int64_t first = 0; first < count; first += slice) {
      if (!LinkNodes(batch, first, std::min(first + slice, count))) {
        Abandon(nodes);
        return absl::CancelledError("stopped by the caller");
      }
      writers.unlock();
      writers.lock();
    }
    Publish(ids, nodes);
    return absl::OkStatus();
  } catch (const std::bad_alloc&) {
    Abandon(nodes);
    return absl::ResourceExhaustedError("adding items: memory is out");
  } catch (const std::system_error& error) {
    Abandon(nodes);
    return absl::ResourceExhaustedError(absl::StrCat("adding items: ", error.what()));
  }
}

bool HnswIndex::TakeNodes(int64_t count, std::vector<uint32_t>& nodes) {
  std::lock_guard slots(slots_mutex_);
  GraphStorage& storage = graph_.storage();
  const auto num_free = static_cast<int64_t>(free_.size());
  const int64_t appended = std::max<int64_t>(0, count - num_free);
  if (!storage.writable() || storage.num_nodes() + appended > storage.capacity()) {
    return false;
  }
  // A failed batch puts its nodes there, and has then no memory for it.
  dead_.reserve(dead_.size() + static_cast<size_t>(count));
  const int64_t reused = count - appended;
  nodes.assign(free_.end() - reused, free_.end());
  free_.resize(free_.size() - static_cast<size_t>(reused));
  nodes.resize(static_cast<size_t>(count));
  const uint32_t first = storage.AppendNodes(appended);
  std::iota(nodes.begin() + reused, nodes.end(), first);
  return true;
}

// Links the items first .. end - 1; false when the progress said stop.
bool HnswIndex::LinkNodes(const Batch& batch, int64_t first, int64_t end) {
  const int64_t dim = options_.dim;
  const int num_threads = static_cast<int>(
      std::clamp<int64_t>((end - first) / kItemsPerThread, 1, options_.num_threads));
  std::vector<std::unique_ptr<ScratchPool::Lease>> scratches;
  for (int i = 0; i < num_threads; ++i) {
    scratches.push_back(std::make_unique<ScratchPool::Lease>(scratches_));
  }
  const auto link = [&](int64_t i, int thread) {
    const size_t at = static_cast<size_t>(first + i);
    const std::vector<float> stored =
        StoredForm(batch.vectors.subspan(at * dim, dim), dim, options_.metric);
    ReaderGate::Guard guard(gate_);
    graph_.storage().WriteItem(batch.nodes[at], stored.data(), batch.ids[at]);
    graph_.Insert(batch.nodes[at], **scratches[thread]);
  };
  return RunInOrder(end - first, num_threads, link, [&](int64_t done) {
    return batch.progress == nullptr ||
           batch.progress(first + done, static_cast<int64_t>(batch.ids.size()));
  });
}

void HnswIndex::Publish(absl::Span<const int64_t> ids,
                        const std::vector<uint32_t>& nodes) {
  std::lock_guard slots(slots_mutex_);
  labels_.Reserve(labels_.size() + static_cast<int64_t>(ids.size()));
  dead_.reserve(dead_.size() + ids.size());
  GraphStorage& storage = graph_.storage();
  num_writes_.fetch_add(1, std::memory_order_acq_rel);
  for (size_t i = 0; i < ids.size(); ++i) {
    const uint32_t replaced = labels_.Put(ids[i], nodes[i]);
    storage.set_hidden(nodes[i], false);
    if (replaced == kNoNode) continue;
    storage.set_hidden(replaced, true);
    dead_.push_back(replaced);
  }
  num_writes_.fetch_add(1, std::memory_order_acq_rel);
}

// Nodes of a batch that failed: linked or not, nobody will ever return them.
void HnswIndex::Abandon(const std::vector<uint32_t>& nodes) {
  std::lock_guard slots(slots_mutex_);
  dead_.insert(dead_.end(), nodes.begin(), nodes.end());
}

// Some searches' time now and then: a table lasts until a seventh more ids are there.
void HnswIndex::FreeOutgrown() {
  {
    std::lock_guard slots(slots_mutex_);
    if (!labels_.has_replaced()) return;
  }
  gate_.Synchronize();
  std::lock_guard slots(slots_mutex_);
  labels_.FreeReplaced();
}

void HnswIndex::Grow(int64_t count, absl::Span<const float> vectors) {
  std::unique_lock alone(writers_);
  const GraphStorage& old = graph_.storage();
  const auto num_free = static_cast<int64_t>(free_.size());
  const int64_t needed = old.num_nodes() + std::max<int64_t>(0, count - num_free);
  if (old.writable() && needed <= old.capacity()) return;
  // A half more each time, so that copies stay a constant share of the work.
  int64_t capacity = std::max(needed + needed / kSpareShare, options_.capacity);
  if (old.writable()) capacity = std::max(capacity, old.capacity() * 3 / 2);
  capacity = std::max(needed, std::min(capacity, kMaxItems));
  const std::unique_ptr<GraphStorage> replaced =
      graph_.Exchange(GraphStorage::Grown(old, capacity, CodecFor(vectors)));
  // Before any node is appended: until then all nodes are in both storages.
  gate_.Synchronize();
}

VectorCodec HnswIndex::CodecFor(absl::Span<const float> vectors) const {
  const GraphStorage& storage = graph_.storage();
  const VectorCodec& codec = storage.codec();
  if (codec.kind() != CodeKind::kInt8 || options_.int8_limit > 0) return codec;
  if (vectors.empty()) return codec;
  const float added =
      VectorCodec::LimitFor(StoredSample(vectors, options_.dim, options_.metric),
                            options_.dim, options_.metric);
  if (storage.num_nodes() == 0) {
    return VectorCodec(codec.kind(), codec.metric(), codec.dim(), added);
  }
  float limit = std::max(codec.limit(), added);
  if (storage.vector(0) != nullptr) {
    const absl::Span<const float> kept(
        storage.vector(0), static_cast<size_t>(storage.num_nodes() * options_.dim));
    limit = std::max(VectorCodec::LimitFor(kept, options_.dim, options_.metric), added);
  }
  if (limit > codec.limit() * kLimitTooSmall ||
      limit < codec.limit() * kLimitTooLarge) {
    return VectorCodec(codec.kind(), codec.metric(), codec.dim(), limit);
  }
  return codec;
}

}  // namespace stepwell::index
