#include "cc/index/hnsw_graph.h"

#include <algorithm>
#include <utility>

namespace stepwell::index {
namespace {

uint64_t Packed(HnswGraph::Entry entry) {
  return static_cast<uint64_t>(static_cast<uint32_t>(entry.level)) << 32 | entry.node;
}

std::unique_ptr<std::atomic<uint64_t>[]> Bitmap(int64_t num_bits) {
  return std::make_unique<std::atomic<uint64_t>[]>(
      static_cast<size_t>((num_bits + 63) / 64));
}

// Bytes put some neighbours behind others: a quarter more are looked at, and the graph
// is as good as one that was built by the vectors.
size_t WidthOfInserts(int64_t ef_construction, CodeKind codes) {
  const auto width = static_cast<size_t>(ef_construction);
  return codes == CodeKind::kInt8 ? width + width / 4 : width;
}

}  // namespace

HnswGraph::HnswGraph(std::unique_ptr<GraphStorage> storage, int64_t ef_construction)
    : width_of_inserts_(WidthOfInserts(ef_construction, storage->codec().kind())),
      storage_(storage.get()),
      entry_(Packed({})),
      doomed_(Bitmap(storage->capacity())) {
  storage.release();
}

HnswGraph::~HnswGraph() { delete storage_.load(); }

std::unique_ptr<GraphStorage> HnswGraph::Exchange(std::unique_ptr<GraphStorage> next) {
  const GraphStorage& old = storage();
  auto doomed = Bitmap(next->capacity());
  for (int64_t word = 0; word < (old.capacity() + 63) / 64; ++word) {
    doomed[word] = doomed_[word].load();
  }
  doomed_ = std::move(doomed);
  return std::unique_ptr<GraphStorage>(
      storage_.exchange(next.release(), std::memory_order_acq_rel));
}

HnswGraph::Entry HnswGraph::entry() const {
  const uint64_t packed = entry_.load(std::memory_order_acquire);
  return {static_cast<uint32_t>(packed), static_cast<int32_t>(packed >> 32)};
}

void HnswGraph::SetEntry(Entry entry) {
  std::lock_guard lock(entry_mutex_);
  entry_.store(Packed(entry), std::memory_order_release);
}

bool HnswGraph::ReplaceEntry(Entry expected, Entry next) {
  std::lock_guard lock(entry_mutex_);
  if (entry_.load(std::memory_order_relaxed) != Packed(expected)) return false;
  entry_.store(Packed(next), std::memory_order_release);
  return true;
}

// True when the graph was empty: the node is its entry now.
bool HnswGraph::BecomeFirst(uint32_t node, int level) {
  std::lock_guard lock(entry_mutex_);
  if (entry().node != kNoNode) return false;
  entry_.store(Packed({node, level}), std::memory_order_release);
  return true;
}

void HnswGraph::RaiseEntry(uint32_t node, int level) {
  std::lock_guard lock(entry_mutex_);
  if (level <= entry().level) return;
  entry_.store(Packed({node, level}), std::memory_order_release);
}

bool HnswGraph::doomed(uint32_t node) const {
  return (doomed_[node / 64].load(std::memory_order_acquire) >> (node % 64)) & 1;
}

void HnswGraph::set_doomed(uint32_t node, bool doomed) {
  const uint64_t bit = uint64_t{1} << (node % 64);
  if (doomed) {
    doomed_[node / 64].fetch_or(bit, std::memory_order_acq_rel);
  } else {
    doomed_[node / 64].fetch_and(~bit, std::memory_order_acq_rel);
  }
}

void HnswGraph::WriteLinks(uint32_t node, int level,
                           absl::Span<const NodeDistance> links) {
  GraphStorage& storage = this->storage();
  uint32_t* places = storage.mutable_links(node, level);
  const auto num_places = static_cast<size_t>(storage.list_size(level));
  std::lock_guard lock(LockOf(node));
  for (size_t i = 0; i < num_places; ++i) {
    StoreLink(&places[i], i < links.size() ? links[i].node : kNoNode);
  }
}

bool HnswGraph::ReplaceLinks(uint32_t node, int level,
                             absl::Span<const uint32_t> expected,
                             absl::Span<const uint32_t> links) {
  GraphStorage& storage = this->storage();
  uint32_t* places = storage.mutable_links(node, level);
  const auto num_places = static_cast<size_t>(storage.list_size(level));
  std::lock_guard lock(LockOf(node));
  for (size_t i = 0; i < num_places; ++i) {
    const uint32_t link = i < expected.size() ? expected[i] : kNoNode;
    if (LoadLink(&places[i]) != link) return false;
    if (link == kNoNode) break;
  }
  for (size_t i = 0; i < num_places; ++i) {
    StoreLink(&places[i], i < links.size() ? links[i] : kNoNode);
  }
  return true;
}

}  // namespace stepwell::index
