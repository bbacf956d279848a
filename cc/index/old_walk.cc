// The search half of OldGraph.
#include <algorithm>
#include <functional>

#include "cc/index/old_engine.h"
#include "cc/index/old_graph.h"

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

}  // namespace

void OldScratch::Start(int64_t num_nodes) {
  const auto size = static_cast<size_t>(num_nodes);
  if (visited_.size() < size) {
    visited_.assign(size, 0);
    epoch_ = 0;
  }
  if (++epoch_ == 0) {
    std::fill(visited_.begin(), visited_.end(), 0);
    epoch_ = 1;
  }
  candidates_.clear();
  found_.clear();
  num_hops_ = 0;
  num_distances_ = 0;
}

bool OldGraph::Walk(const float* query, int64_t ef, const RowFilter* filter,
                     SearchBudget& budget, OldScratch& scratch) const {
  scratch.Start(size());
  if (max_level() < 0) return false;
  if (budget.Spent()) return true;
  const auto width = static_cast<size_t>(ef);
  return filter == nullptr ? WalkAll(query, width, budget, scratch)
                           : WalkFiltered(query, width, *filter, budget, scratch);
}

// Greedy search of the upper levels, one nearest node each (Alg. 5, lines 3-5).
NodeDistance OldGraph::DescendToBase(const float* query, OldScratch& scratch) const {
  NodeDistance nearest{0, entry_node()};
  nearest.distance = kernel_.pair(query, vector(nearest.node), &dim_);
  scratch.distances_.resize(std::max<size_t>(2 * options_.m, 1));
  for (int at = max_level(); at > 0; --at) {
    for (bool moved = true; moved;) {
      moved = false;
      const uint32_t* links = Links(nearest.node, at);
      const uint32_t num_links = links[0];
      kernel_.gather(query, dim_, vectors(), links + 1, num_links,
                     scratch.distances_.data());
      ++scratch.num_hops_;
      scratch.num_distances_ += num_links;
      for (uint32_t i = 0; i < num_links; ++i) {
        if (scratch.distances_[i] >= nearest.distance) continue;
        nearest = {scratch.distances_[i], links[i + 1]};
        moved = true;
      }
    }
  }
  return nearest;
}

// Leaves the unseen neighbours of a node and their distances in the scratch.
void OldGraph::MeasureLinks(const float* query, uint32_t node,
                             OldScratch& scratch) const {
  const uint32_t* links = Links(node, 0);
  const uint32_t num_links = links[0];
  scratch.batch_.clear();
  for (uint32_t i = 1; i <= num_links; ++i) {
    if (scratch.Visit(links[i])) scratch.batch_.push_back(links[i]);
  }
  kernel_.gather(query, dim_, vectors(), scratch.batch_.data(), scratch.batch_.size(),
                 scratch.distances_.data());
  ++scratch.num_hops_;
  scratch.num_distances_ += static_cast<int64_t>(scratch.batch_.size());
}

bool OldGraph::WalkAll(const float* query, size_t ef, SearchBudget& budget,
                        OldScratch& scratch) const {
  SearchPool& pool = scratch.pool_;
  const NodeDistance entry = DescendToBase(query, scratch);
  scratch.Visit(entry.node);
  pool.Start(ef);
  pool.Offer(entry);
  bool truncated = false;
  for (uint32_t node; !truncated && pool.Next(node);) {
    MeasureLinks(query, node, scratch);
    for (size_t i = 0; i < scratch.batch_.size(); ++i) {
      pool.Offer({scratch.distances_[i], scratch.batch_[i]});
    }
    truncated = scratch.num_hops_ % kHopsPerClockRead == 0 && budget.Spent();
  }
  pool.CopyTo(scratch.found_);
  return truncated;
}

bool OldGraph::WalkFiltered(const float* query, size_t ef, const RowFilter& filter,
                             SearchBudget& budget, OldScratch& scratch) const {
  std::vector<NodeDistance>& candidates = scratch.candidates_;
  std::vector<NodeDistance>& found = scratch.found_;
  const NodeDistance entry = DescendToBase(query, scratch);
  scratch.Visit(entry.node);
  candidates.push_back(entry);
  if (filter(entry.node)) found.push_back(entry);
  while (!candidates.empty()) {
    const NodeDistance nearest = PopNearest(candidates);
    if (found.size() == ef && nearest.distance > found.front().distance) return false;
    MeasureLinks(query, nearest.node, scratch);
    for (size_t i = 0; i < scratch.batch_.size(); ++i) {
      const NodeDistance next{scratch.distances_[i], scratch.batch_[i]};
      if (found.size() == ef && next.distance >= found.front().distance) continue;
      PushNearest(candidates, next);
      if (filter(next.node)) PushBounded(found, next, ef);
    }
    if (scratch.num_hops_ % kHopsPerClockRead == 0 && budget.Spent()) return true;
  }
  return false;
}

}  // namespace stepwell::index
