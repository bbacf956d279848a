// The graph of HNSW over numbered nodes: building and walking it.
#ifndef STEPWELL_CC_INDEX_OLD_GRAPH_H_
#define STEPWELL_CC_INDEX_OLD_GRAPH_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/types/span.h"
#include "cc/index/distance.h"
#include "cc/index/row_filter.h"
#include "cc/index/search_budget.h"
#include "cc/index/search_pool.h"

namespace stepwell::index {

struct OldGraphOptions {
  int64_t dim = 0;
  int64_t m = 16;                 // links of a node above level 0; twice that on it
  int64_t ef_construction = 200;  // width of the search for a new node's neighbours
  uint64_t seed = 0;              // of the levels
};

// What one search works on; reused to save allocations. One thread at a time.
class OldScratch {
 public:
  // Nodes that may be returned, not sorted: the answer of OldGraph::Walk.
  const std::vector<NodeDistance>& found() const { return found_; }
  // Nodes whose links were read and distances computed since the last Walk
  // began.
  int64_t num_hops() const { return num_hops_; }
  int64_t num_distances() const { return num_distances_; }

 private:
  friend class OldGraph;

  void Start(int64_t num_nodes);
  // True for a node seen for the first time since Start.
  bool Visit(uint32_t node) {
    if (visited_[node] == epoch_) return false;
    visited_[node] = epoch_;
    return true;
  }

  std::vector<uint16_t> visited_;  // the epoch in which a node was seen last
  uint16_t epoch_ = 0;
  SearchPool pool_;                       // of a walk without a filter
  std::vector<NodeDistance> candidates_;  // min-heap: to be expanded
  std::vector<NodeDistance> found_;       // max-heap: the best so far
  std::vector<uint32_t> batch_;
  std::vector<float> distances_;
  int64_t num_hops_ = 0;
  int64_t num_distances_ = 0;
};

// Nodes 0 .. size() - 1, each with a vector and links on its levels. hnswlib's
// class holds the memory, finds and prunes neighbours; levels, the order of
// insertion and the search are ours: levels depend on (seed, node) only, no
// random state is shared by building threads, a search filters by node and
// stops when its budget is spent.
//
// Concurrency: Walk and the accessors are safe together; Append, Replace and
// the raw parts need exclusion. Append may use threads of its own. Source:
// Malkov & Yashunin, arXiv:1603.09320: Append is Alg. 1 with the neighbours of
// Alg. 4, Walk is Alg. 5 with Alg. 2; see Walk for the differences.
class OldGraph {
 public:
  // `kernel` lives for ever. Throws std::bad_alloc or std::runtime_error
  // (memory).
  OldGraph(const OldGraphOptions& options, const DistanceKernel& kernel,
            int64_t capacity);
  ~OldGraph();

  int64_t size() const;
  int64_t MemoryBytes() const;
  int32_t max_level() const;
  uint32_t entry_node() const;
  int level(uint32_t node) const;
  const float* vector(uint32_t node) const;
  RowBlock vectors() const;

  // Appends nodes for the row-major vectors. With one thread the graph depends
  // on the input and the seed only. Cost: about ef_construction * M distances a
  // node. Throws as the constructor; the new nodes are then all there or none
  // is, see size(), and some may be without links: Replace gives them some.
  void Append(absl::Span<const float> vectors, int num_threads);

  // Gives a node another vector and repairs the links around it.
  void Replace(uint32_t node, const float* vector);

  // Finds about the `ef` nearest nodes that `filter` keeps; null keeps all. The
  // answer is in `scratch`. True when the budget ended the walk early.
  //
  // Differences to Alg. 2: nodes that are not kept still lead the way, and the
  // walk goes on until ef kept ones are found or the graph is exhausted. Cost:
  // about ef * M distances divided by the share of nodes kept.
  bool Walk(const float* query, int64_t ef, const RowFilter* filter,
            SearchBudget& budget, OldScratch& scratch) const;

  // Links of a node on a level: a count, then that many nodes.
  const uint32_t* Links(uint32_t node, int level) const;

  // Raw parts of a graph that was written by this class and checked by the
  // caller.
  struct Parts {
    absl::Span<const uint8_t> levels;
    int32_t max_level;
    uint32_t entry_node;
  };
  // Makes `levels.size()` nodes without vectors and links, for a graph still
  // empty.
  void Adopt(const Parts& parts);
  float* mutable_vector(uint32_t node);
  uint32_t* mutable_links(uint32_t node, int level);

 private:
  class Engine;

  void Reserve(int64_t capacity);
  void SetLevel(uint32_t node, int level);
  void Insert(uint32_t node, const float* vector, int level);
  int LevelOf(uint32_t node) const;
  uint32_t DescendWithLocks(const float* query, uint32_t nearest, int from,
                            int to) const;
  NodeDistance DescendToBase(const float* query, OldScratch& scratch) const;
  void MeasureLinks(const float* query, uint32_t node, OldScratch& scratch) const;
  bool WalkAll(const float* query, size_t ef, SearchBudget& budget,
               OldScratch& scratch) const;
  bool WalkFiltered(const float* query, size_t ef, const RowFilter& filter,
                    SearchBudget& budget, OldScratch& scratch) const;

  const OldGraphOptions options_;
  const DistanceKernel& kernel_;
  const size_t dim_;
  std::unique_ptr<Engine> engine_;
};

}  // namespace stepwell::index

#endif  // STEPWELL_CC_INDEX_OLD_GRAPH_H_
