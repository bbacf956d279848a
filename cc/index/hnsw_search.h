// One query's way through an HnswIndex.
#ifndef STEPWELL_CC_INDEX_HNSW_SEARCH_H_
#define STEPWELL_CC_INDEX_HNSW_SEARCH_H_

#include <atomic>
#include <cstdint>
#include <vector>

#include "cc/index/ann_index.h"
#include "cc/index/distance.h"
#include "cc/index/hnsw_graph.h"
#include "cc/index/label_table.h"
#include "cc/index/node_filter.h"
#include "cc/index/reader_gate.h"
#include "cc/index/search_budget.h"
#include "cc/index/search_plan.h"
#include "cc/index/top_k.h"
#include "cc/index/walk_scratch.h"

namespace stepwell::index {

// The parts of an index that searches read; borrowed.
struct SearchedParts {
  const HnswGraph& graph;
  const LabelTable& labels;
  ReaderGate& gate;
  const std::atomic<uint64_t>& num_writes;  // odd while items are published
};

// Answers the queries of one call, each under a Guard of its own.
//
// The plan finds candidates by their codes: a walk, a filtered walk or a scan. When
// those leave fewer than k though more items match, the next of the three is tried.
// The best of them are scored again by their vectors. One thread.
class HnswSearch {
 public:
  HnswSearch(const SearchedParts& parts, const SearchOptions& options,
             SearchResult& result, WalkScratch& scratch);

  // `query` is float32 [dim] as stored; `row` is its place in the result. Throws
  // std::bad_alloc.
  void Answer(const float* query, int64_t row);

 private:
  // Nodes that the answer is chosen from.
  int64_t Width(const GraphStorage& storage) const;
  SearchPlan Plan(const GraphStorage& storage, const NodeFilter& filter) const;
  int64_t NumReachable(const NodeFilter& filter) const;
  void Find(const float* query, const NodeFilter& filter, const SearchPlan& plan);
  void Scan(const float* query, const NodeFilter& filter, size_t width);
  void KeepPassing(const NodeFilter& filter);
  void FollowReplaced(const NodeFilter& filter);
  void Score(const float* query, bool wrote);
  void DropSurpassed(const NodeFilter& filter);

  const SearchedParts& parts_;
  const SearchOptions& options_;
  SearchResult& result_;
  WalkScratch& scratch_;
  SearchBudget budget_;
  const int64_t num_allowed_;  // an estimate: ids of the set need not be items
  // Of one query.
  bool truncated_ = false;
  bool scanned_ = false;
  std::vector<NodeDistance> kept_;
  std::vector<Neighbour> scored_;
};

}  // namespace stepwell::index

#endif  // STEPWELL_CC_INDEX_HNSW_SEARCH_H_
