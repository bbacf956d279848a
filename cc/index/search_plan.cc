#include "cc/index/search_plan.h"

#include <algorithm>
#include <cmath>

namespace stepwell::index {
namespace {

// Costs in units of one distance of a walk over all nodes, a row out of cache.

// Each place of a pool brings about so many distances for each link of level 0.
constexpr double kDistancesPerLink = 0.35;
// A filtered walk keeps two heaps and tests nodes in random order.
constexpr double kFilteredDistance = 1.5;
// A row of a scan, known far ahead; by bits the id's node is looked up first.
constexpr double kScanRow = 0.35;
constexpr double kScanRowByBits = 1.0;
// A node of a scan that is only asked about.
constexpr double kScanNode = 0.05;

// A pool this many times as wide as asked for: its places are moved for every new
// one, which is then no better than the heaps of a filtered walk.
constexpr double kMaxWiderPool = 4;
// Matches among the nodes of a pool are spread by chance: so many standard
// deviations are added to its width.
constexpr double kSpread = 2;

double WalkDistances(const SearchCase& search, double width) {
  return kDistancesPerLink * 2 * static_cast<double>(search.m) * width;
}

double ScanCost(const SearchCase& search, double matches) {
  const auto nodes = static_cast<double>(search.num_nodes);
  const bool by_bits =
      search.has_filter && ScansByBits(search.num_matches, search.num_nodes);
  return by_bits ? kScanRowByBits * matches : kScanNode * nodes + kScanRow * matches;
}

}  // namespace

bool ScansByBits(int64_t num_matches, int64_t num_nodes) {
  // Looking up the node of an id costs about as much as reading the labels of 16
  // nodes in the order of memory.
  constexpr int64_t kNodesPerLookUp = 16;
  return num_matches <= num_nodes / kNodesPerLookUp;
}

SearchPlan ChoosePlan(const SearchCase& search) {
  const auto nodes = static_cast<double>(search.num_nodes);
  const auto items = static_cast<double>(search.num_items);
  const auto ef = static_cast<double>(std::max(search.ef, search.k));
  const double matches = search.has_filter
                             ? std::min(static_cast<double>(search.num_matches), items)
                             : items;
  const double scan = ScanCost(search, matches);
  const SearchPlan exact{SearchStrategy::kExact, static_cast<int64_t>(ef), 0};
  const auto max_distances = static_cast<int64_t>(scan / kFilteredDistance) + 1;
  if (search.has_filter && matches <= ef) return exact;
  if (matches < 1) return {SearchStrategy::kGraph, static_cast<int64_t>(ef), 1};

  const double share = matches / nodes;
  const double spread = kSpread * std::sqrt(ef * (1 - share));
  // Exclusions are items the user has seen: they may all be among the nearest.
  const double wide = (ef + spread) / share + static_cast<double>(search.num_excluded);
  const double wide_cost = WalkDistances(search, wide);
  const double filtered_cost = kFilteredDistance * WalkDistances(search, ef / share);
  const auto width = static_cast<int64_t>(std::ceil(std::min(wide, nodes)));
  if (!search.has_filter && search.num_excluded == 0) {
    return {SearchStrategy::kGraph, width, max_distances};
  }
  if (search.has_filter && scan <= std::min(wide_cost, filtered_cost)) return exact;
  if (wide <= kMaxWiderPool * ef && wide_cost <= filtered_cost) {
    return {SearchStrategy::kWiderGraph, width, max_distances};
  }
  return {SearchStrategy::kFilteredGraph, static_cast<int64_t>(ef), max_distances};
}

}  // namespace stepwell::index
