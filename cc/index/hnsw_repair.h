// Keeps a graph whole while nodes leave it.
#ifndef STEPWELL_CC_INDEX_HNSW_REPAIR_H_
#define STEPWELL_CC_INDEX_HNSW_REPAIR_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "cc/index/hnsw_graph.h"

namespace stepwell::index {

// What ReconnectUnreached found and did, in nodes that are not hidden.
struct ReachReport {
  int64_t num_unreached = 0;  // before
  int64_t num_left = 0;       // after: searches meet them only in scans
};

// Takes doomed nodes out of the lists of a graph, and leads to nodes that nothing
// leads to.
//
// Concurrency: one thread at a time, beside any number of searches and inserts. The
// storage must stay in place during a call, and doomed nodes must not be used again
// until the caller has waited for the readers of the old lists. Memory: 8 bytes a node
// during ReconnectUnreached, else little.
class HnswRepair {
 public:
  explicit HnswRepair(HnswGraph& graph) : graph_(graph) {}

  // Marks hidden nodes as doomed. The entry never is: it moves to a node of the highest
  // level that is not hidden first. Where there is no such node the entry is spared:
  // returns it then, else kNoNode. Cost: with an entry among the nodes, a look at all.
  uint32_t Doom(absl::Span<const uint32_t> nodes);

  // Rewrites every list of the nodes first .. end - 1 that holds a doomed node and
  // returns how many. Call after inserts that may still link to doomed nodes are over.
  //
  // A doomed link gives way to the links of the doomed node, as far as Alg. 4 of the
  // HNSW paper lets them beside the links that stay. Cost: reading the lists, and
  // about M distances and M^2 / 2 pairs for each doomed link. Source: the
  // consolidation of FreshDiskANN, arXiv:2105.09613, algorithm 4.
  int64_t BypassDoomed(uint32_t first, uint32_t end);

  // Finds the nodes that are not hidden and that no path of level 0 leads to from the
  // entry, and links to each from near nodes that are reached. Only links that no
  // path needs give way. Ends soon after `stop` has become true, with what was done
  // until then; null: nobody stops it. Throws std::bad_alloc. Cost: reading all lists
  // of level 0, and one walk for each unreached node.
  ReachReport ReconnectUnreached(const std::atomic<bool>* stop = nullptr);

 private:
  bool MoveEntry(HnswGraph::Entry from);
  bool BypassInList(uint32_t node, int level);
  void ReadLinks(uint32_t node, int level, std::vector<uint32_t>& links) const;
  void CollectBeyond(uint32_t node, int level);
  void AddLinksOf(uint32_t doomed, int level);
  void SearchBeyond(uint32_t node, int level);
  void SelectBeside(size_t limit);
  void LinkBack(uint32_t node, int level);

  bool Stopped() const { return stop_ != nullptr && *stop_; }
  void ReachFrom(uint32_t node);
  bool Reached(uint32_t node) const { return parents_[node] != kNoNode; }
  bool Connect(uint32_t node, size_t ef);
  bool LeadTo(uint32_t node, uint32_t from);
  size_t DispensableLink(uint32_t from);

  HnswGraph& graph_;
  WalkScratch scratch_;

  // Of the list in work.
  std::vector<uint32_t> links_;        // as read
  std::vector<uint32_t> kept_;         // those that stay, then those that come
  std::vector<uint32_t> doomed_;       // those that go, and doomed ones behind them
  std::vector<uint32_t> beyond_;       // where they lead
  std::vector<NodeDistance> ordered_;  // beyond_, nearest first
  std::vector<NodeDistance> added_;    // of these, those that come

  // Of ReconnectUnreached: the tree of a breadth-first walk.
  std::vector<uint32_t> parents_;  // kNoNode: not reached
  std::vector<uint32_t> queue_;
  const std::atomic<bool>* stop_ = nullptr;
};

}  // namespace stepwell::index

#endif  // STEPWELL_CC_INDEX_HNSW_REPAIR_H_
