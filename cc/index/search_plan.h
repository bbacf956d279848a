// How one query is best answered.
#ifndef STEPWELL_CC_INDEX_SEARCH_PLAN_H_
#define STEPWELL_CC_INDEX_SEARCH_PLAN_H_

#include <cstdint>

#include "cc/index/ann_index.h"

namespace stepwell::index {

// What is known before a search.
struct SearchCase {
  int64_t num_nodes = 0;     // nodes of the graph, hidden ones too
  int64_t num_items = 0;     // of them, items that a search can return
  int64_t num_matches = 0;   // of them, allowed: an estimate; ignored without filter
  int64_t num_excluded = 0;  // exclusions that are items
  int64_t m = 16;            // links of a node, half of those on level 0
  int64_t ef = 0;            // width asked for, >= k
  int64_t k = 0;
  bool has_filter = false;  // whether there is an allowed set
};

struct SearchPlan {
  SearchStrategy strategy = SearchStrategy::kGraph;
  // Nodes to keep: the width of a walk over all nodes, ef of a filtered walk, the
  // candidates of a scan's first pass.
  int64_t width = 0;
  // A filtered walk that has computed so many distances is given up for the scan.
  int64_t max_distances = 0;
};

// The cheapest way that keeps the recall of a search of width `ef` without a filter.
//
// A walk meets items near the query in about their share of all nodes, so that ef
// matches are found among ef / share nodes: one walk over all nodes that is wider by
// that (kWiderGraph, the pool is one sorted array), or a walk that tests each node
// (kFilteredGraph, stops by itself once ef matches are found, whatever the share near
// the query is). A scan (kExact) costs about a distance a match. A filter that shuns
// the query's neighbourhood makes the share wrong: max_distances then ends the walk
// early enough that walk and scan together cost less than twice the scan.
//
// Pure. Each count >= 0.
SearchPlan ChoosePlan(const SearchCase& search);

// Whether a scan of an allowed set of so many ids walks its bits, from id to node,
// rather than all nodes.
bool ScansByBits(int64_t num_matches, int64_t num_nodes);

}  // namespace stepwell::index

#endif  // STEPWELL_CC_INDEX_SEARCH_PLAN_H_
