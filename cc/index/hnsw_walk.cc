// The searching half of HnswGraph.
#include <algorithm>
#include <functional>

#include "cc/index/hnsw_graph.h"

namespace stepwell::index {
namespace {

// Expanded nodes between two looks at the clock: about 5 us apart.
constexpr int64_t kHopsPerClockRead = 8;

using MinHeapOrder = std::greater<NodeDistance>;

void PushNearest(std::vector<NodeDistance>& heap, NodeDistance node) {
  heap.push_back(node);
  std::push_heap(heap.begin(), heap.end(), MinHeapOrder());
}

NodeDistance PopNearest(std::vector<NodeDistance>& heap) {
  std::pop_heap(heap.begin(), heap.end(), MinHeapOrder());
  const NodeDistance nearest = heap.back();
  heap.pop_back();
  return nearest;
}

void PushBounded(std::vector<NodeDistance>& heap, NodeDistance node, size_t limit) {
  if (heap.size() == limit) {
    std::pop_heap(heap.begin(), heap.end());
    heap.back() = node;
  } else {
    heap.push_back(node);
  }
  std::push_heap(heap.begin(), heap.end());
}

void PrefetchList(const uint32_t* links, size_t num_places) {
  constexpr size_t kPerLine = 64 / sizeof(uint32_t);
  for (size_t i = 0; i < num_places; i += kPerLine) __builtin_prefetch(links + i);
}

}  // namespace

// Greedy search of the upper levels, one nearest node each (Alg. 5, lines 3-5).
NodeDistance HnswGraph::Descend(const char* coded_query, Entry top, int to_level,
                                WalkScratch& scratch) const {
  const GraphStorage& storage = scratch.storage();
  NodeDistance nearest{0, top.node};
  storage.codec().Gather(coded_query, storage.codes(), &top.node, 1, &nearest.distance);
  ++scratch.num_distances;
  const auto num_places = static_cast<size_t>(storage.shape().m);
  for (int at = top.level; at > to_level; --at) {
    for (bool moved = true; moved;) {
      moved = false;
      const uint32_t* links = storage.links(nearest.node, at);
      size_t n = 0;
      for (; n < num_places; ++n) {
        scratch.batch[n] = LoadLink(&links[n]);
        if (scratch.batch[n] == kNoNode) break;
      }
      storage.codec().Gather(coded_query, storage.codes(), scratch.batch.data(), n,
                             scratch.distances.data());
      ++scratch.num_visited;
      scratch.num_distances += static_cast<int64_t>(n);
      for (size_t i = 0; i < n; ++i) {
        if (scratch.distances[i] >= nearest.distance) continue;
        nearest = {scratch.distances[i], scratch.batch[i]};
        moved = true;
      }
    }
  }
  return nearest;
}

// Leaves the unseen nodes of a list and their distances in the scratch; returns how
// many.
size_t HnswGraph::MeasureLinks(const char* coded_query, const uint32_t* links,
                               size_t num_places, WalkScratch& scratch) const {
  const GraphStorage& storage = scratch.storage();
  const VectorCodec& codec = storage.codec();
  const RowBlock codes = storage.codes();
  uint32_t* const batch = scratch.batch.data();
  size_t n = 0;
  for (size_t i = 0; i < num_places; ++i) {
    const uint32_t link = LoadLink(&links[i]);
    if (link == kNoNode) break;
    // Seen ones too: a branch would cost more, and most of those are in cache.
    codec.Prefetch(codes, link);
    batch[n] = link;
    n += static_cast<size_t>(scratch.Visit(link));
  }
  codec.Gather(coded_query, codes, batch, n, scratch.distances.data());
  ++scratch.num_visited;
  scratch.num_distances += static_cast<int64_t>(n);
  return n;
}

bool HnswGraph::WalkPool(const char* coded_query, NodeDistance from, int level,
                         size_t width, SearchBudget* budget,
                         WalkScratch& scratch) const {
  const GraphStorage& storage = scratch.storage();
  const auto num_places = static_cast<size_t>(storage.list_size(level));
  SearchPool& pool = scratch.pool;
  scratch.ClearVisited();
  scratch.Visit(from.node);
  pool.Start(width);
  pool.Offer(from);
  bool truncated = false;
  for (uint32_t node; !truncated && pool.Next(node);) {
    uint32_t following;
    // Most often the next one, unless a nearer one is found now.
    if (pool.Peek(following)) {
      PrefetchList(storage.links(following, level), num_places);
    }
    const size_t n =
        MeasureLinks(coded_query, storage.links(node, level), num_places, scratch);
    for (size_t i = 0; i < n; ++i) {
      const NodeDistance offered{scratch.distances[i], scratch.batch[i]};
      if (offered.distance >= pool.bound()) continue;
      pool.Offer(offered);
      PrefetchList(storage.links(offered.node, level), num_places);
    }
    truncated = budget != nullptr && scratch.num_visited % kHopsPerClockRead == 0 &&
                budget->Spent();
  }
  scratch.found.clear();
  pool.CopyTo(scratch.found);
  return truncated;
}

void HnswGraph::WalkLevel(const char* coded_query, NodeDistance from, int level,
                          size_t ef, WalkScratch& scratch) const {
  WalkPool(coded_query, from, level, ef, nullptr, scratch);
}

bool HnswGraph::WalkAll(const char* coded_query, size_t width, SearchBudget& budget,
                        WalkScratch& scratch) const {
  scratch.found.clear();
  if (entry().node == kNoNode) return false;
  if (budget.Spent()) return true;
  const NodeDistance from = Descend(coded_query, entry(), 0, scratch);
  return WalkPool(coded_query, from, 0, width, &budget, scratch);
}

bool HnswGraph::WalkFiltered(const char* coded_query, size_t ef,
                             const NodeFilter& filter, int64_t max_distances,
                             SearchBudget& budget, WalkScratch& scratch) const {
  const GraphStorage& storage = scratch.storage();
  std::vector<NodeDistance>& candidates = scratch.candidates;
  std::vector<NodeDistance>& found = scratch.found;
  candidates.clear();
  found.clear();
  scratch.gave_up = false;
  if (entry().node == kNoNode) return false;
  if (budget.Spent()) return true;
  const auto num_places = static_cast<size_t>(storage.list_size(0));
  const int64_t end_distances = scratch.num_distances + max_distances;
  const NodeDistance from = Descend(coded_query, entry(), 0, scratch);
  scratch.ClearVisited();
  scratch.Visit(from.node);
  candidates.push_back(from);
  if (filter(from.node)) found.push_back(from);
  bool truncated = false;
  while (!candidates.empty() && !truncated && !scratch.gave_up) {
    const NodeDistance nearest = PopNearest(candidates);
    const bool full = found.size() == ef;
    if (full && nearest.distance > found.front().distance) break;
    const size_t n =
        MeasureLinks(coded_query, storage.links(nearest.node, 0), num_places, scratch);
    for (size_t i = 0; i < n; ++i) {
      const NodeDistance next{scratch.distances[i], scratch.batch[i]};
      if (found.size() == ef && next.distance >= found.front().distance) continue;
      PushNearest(candidates, next);
      if (filter(next.node)) PushBounded(found, next, ef);
    }
    if (!candidates.empty()) {
      PrefetchList(storage.links(candidates.front().node, 0), num_places);
    }
    truncated = scratch.num_visited % kHopsPerClockRead == 0 && budget.Spent();
    scratch.gave_up = scratch.num_distances >= end_distances;
  }
  std::sort(found.begin(), found.end());
  return truncated;
}

}  // namespace stepwell::index
