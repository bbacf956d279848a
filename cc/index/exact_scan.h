// Search by comparing with every node that a filter keeps.
#ifndef STEPWELL_CC_INDEX_EXACT_SCAN_H_
#define STEPWELL_CC_INDEX_EXACT_SCAN_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "cc/index/graph_storage.h"
#include "cc/index/node_filter.h"
#include "cc/index/search_budget.h"
#include "cc/index/search_pool.h"

namespace stepwell::index {

// One query in the two forms that a scan can compare.
struct ScanQuery {
  // Of storage.codec(), compared with the codes: a first pass, to be rescored.
  const char* coded = nullptr;
  // float32 [dim] as stored (unit norm under cosine). When set, the kept vectors are
  // compared instead of the codes: the exact answer. Needs
  // storage.vectors().
  const float* exact = nullptr;
};

struct ScanOutcome {
  bool truncated = false;  // the budget ended it
  int64_t num_distances = 0;
};

// Leaves the `width` nearest nodes that `filter` keeps in `found`, nearest first,
// ties by lower node; fewer when fewer are kept. `found` is cleared first.
//
// A small allowed set is walked by its bits, from id to node; any other filter is
// asked about every node in the order of memory. Looks at the budget about every 256
// rows. Concurrency: under the Guard that the filter was made under; a node that is
// published meanwhile may or may not be found. Cost: a distance a kept node and, on
// the way by nodes, about a nanosecond for every other. Throws std::bad_alloc.
ScanOutcome ExactScan(const GraphStorage& storage, const ScanQuery& query,
                      const NodeFilter& filter, size_t width, SearchBudget& budget,
                      std::vector<NodeDistance>& found);

}  // namespace stepwell::index

#endif  // STEPWELL_CC_INDEX_EXACT_SCAN_H_
