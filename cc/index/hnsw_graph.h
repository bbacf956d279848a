// The graph of HNSW over numbered nodes: building and walking it, all at once.
#ifndef STEPWELL_CC_INDEX_HNSW_GRAPH_H_
#define STEPWELL_CC_INDEX_HNSW_GRAPH_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/types/span.h"
#include "cc/index/graph_storage.h"
#include "cc/index/node_filter.h"
#include "cc/index/search_budget.h"
#include "cc/index/search_pool.h"
#include "cc/index/walk_scratch.h"

namespace stepwell::index {

// Links between the nodes of a GraphStorage, found and followed by the distances of
// its codes.
//
// Concurrency: everything may run side by side but Exchange and growth of the bitmap
// of doomed nodes, which need all writers away. A writer locks one list at a time, by
// node; walks lock nothing: they read each place of a list atomically. A node is led
// to only when all of its own lists are written. Whoever calls holds a ReaderGate's
// Guard, or keeps the storage in place otherwise.
//
// Source: Malkov & Yashunin, arXiv:1603.09320: Insert is Alg. 1 with the neighbours of
// Alg. 4 (M of them on every level, as hnswlib), a search is Alg. 5 with Alg. 2. The
// two heaps of Alg. 2 are one sorted array where every node may be returned.
class HnswGraph {
 public:
  HnswGraph(std::unique_ptr<GraphStorage> storage, int64_t ef_construction);

  GraphStorage& storage() const { return *storage_.load(std::memory_order_acquire); }
  // Puts another storage of the same nodes in place and returns the old one, which
  // searches still read: free it after ReaderGate::Synchronize. Throws std::bad_alloc.
  std::unique_ptr<GraphStorage> Exchange(std::unique_ptr<GraphStorage> next);
  ~HnswGraph();

  struct Entry {
    uint32_t node = kNoNode;  // kNoNode: the graph is empty
    int level = -1;
  };
  Entry entry() const;
  // The node is wholly linked, or about to be the only one. Never a doomed one.
  void SetEntry(Entry entry);
  // The same, unless the entry is another than expected; returns whether it was.
  bool ReplaceEntry(Entry expected, Entry next);

  // Nodes that are about to be taken out: no insert links to them any more.
  bool doomed(uint32_t node) const;
  void set_doomed(uint32_t node, bool doomed);

  // Links a written node into the graph: a walk finds it from now on. Where no
  // neighbour would keep a link back, the nearest one is made to; later inserts may
  // drop that link, see HnswRepair::ReconnectUnreached. Cost: about ef_construction * M
  // distances.
  void Insert(uint32_t node, WalkScratch& scratch);

  // Greedy walk from `top`, an entry read once by the caller, down to the nearest node
  // met above `to_level` <= top.level: where that level's walk begins.
  NodeDistance Descend(const char* coded_query, Entry top, int to_level,
                       WalkScratch& scratch) const;
  // Leaves the about `ef` nearest nodes of one level in scratch.found, nearest first.
  void WalkLevel(const char* coded_query, NodeDistance from, int level, size_t ef,
                 WalkScratch& scratch) const;

  // Algorithm 4: keeps at most `limit` of the candidates, which are sorted nearest
  // first; none kept is nearer to a kept one than to the base.
  void SelectNeighbours(std::vector<NodeDistance>& candidates, size_t limit) const;
  // Replaces a list whole. At most list_size(level) links.
  void WriteLinks(uint32_t node, int level, absl::Span<const NodeDistance> links);
  // The same, unless another writer has changed the list, of which `expected` were the
  // links; returns whether it was done.
  bool ReplaceLinks(uint32_t node, int level, absl::Span<const uint32_t> expected,
                    absl::Span<const uint32_t> links);
  // Adds one link, selecting again when the list is full; returns whether it is in the
  // list now.
  bool AddLink(uint32_t node, int level, NodeDistance target);

  // The search of one query: leaves nodes of level 0 in scratch.found, nearest first.
  // True when the budget ended it.
  //
  // WalkAll: the about `width` nearest nodes, hidden ones too. Cost: about width * M
  // distances.
  bool WalkAll(const char* coded_query, size_t width, SearchBudget& budget,
               WalkScratch& scratch) const;
  // WalkFiltered: the about `ef` nearest that the filter keeps; others lead the way.
  // Cost: as WalkAll, divided by the share of nodes kept, at most about max_distances:
  // then scratch.gave_up is set.
  bool WalkFiltered(const char* coded_query, size_t ef, const NodeFilter& filter,
                    int64_t max_distances, SearchBudget& budget,
                    WalkScratch& scratch) const;

 private:
  static constexpr size_t kNumLocks = 4096;

  std::mutex& LockOf(uint32_t node) { return link_locks_[node % kNumLocks]; }
  bool BecomeFirst(uint32_t node, int level);
  NodeDistance FindLinkable(uint32_t node, NodeDistance from, int level,
                            WalkScratch& scratch,
                            std::vector<NodeDistance>& linkable) const;
  void ForceLink(uint32_t node, uint32_t target);
  void RaiseEntry(uint32_t node, int level);
  size_t MeasureLinks(const char* coded_query, const uint32_t* links, size_t num_places,
                      WalkScratch& scratch) const;
  bool WalkPool(const char* coded_query, NodeDistance from, int level, size_t width,
                SearchBudget* budget, WalkScratch& scratch) const;

  const size_t width_of_inserts_;
  std::atomic<GraphStorage*> storage_;
  std::atomic<uint64_t> entry_;
  std::mutex entry_mutex_;  // of writers of entry_
  std::unique_ptr<std::atomic<uint64_t>[]> doomed_;
  std::array<std::mutex, kNumLocks> link_locks_;
};

}  // namespace stepwell::index

#endif  // STEPWELL_CC_INDEX_HNSW_GRAPH_H_
