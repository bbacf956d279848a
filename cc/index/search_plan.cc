#include "cc/index/search_plan.h"

#include <algorithm>
#include <cmath>

namespace stepwell::index {
namespace {

// The model was fitted to walks and scans of 1M x 64 generated vectors around 1'000
// centres and of GloVe (341k x 100, cosine), both as int8 codes with M = 16: see
// search_plan_benchmark.cc for the measurement. Times are those of an AVX-512 machine
// whose caches hold a small part of the codes; the unit is one distance of a walk over
// all nodes there.

// A walk of width w computes kDistances * 2 M * w^kGrowth distances: a wider one meets
// more nodes that it has seen. Both data sets agree within 10 % for w of 100 to 1'600.
constexpr double kDistances = 1.35;
constexpr double kGrowth = 0.82;
// A filtered walk keeps two heaps and tests nodes in random order.
constexpr double kFilteredDistance = 1.4;
// A row of a scan, known far ahead; by bits the node of the id is looked up first.
constexpr double kScanRow = 0.2;
constexpr double kScanRowByBits = 1.5;
// A node of a scan that is only asked about.
constexpr double kScanNode = 0.05;

// A pool so many times as wide as asked for costs more than the heaps of a filtered
// walk: a new place moves all that are farther.
constexpr double kMaxWiderPool = 4;
// Matches among the nodes of a pool are spread by chance: so many standard deviations
// are added to its width.
constexpr double kSpread = 2;

// A filtered walk is given up at this share of the scan's cost. Its distances cost more
// the longer it goes on without matches, since the heap of candidates grows: both
// together then cost less than twice the scan.
constexpr double kGivenUpShare = 0.33;
// But not before it has computed so many times the distances it should need.
constexpr double kPatience = 1.5;

double WalkDistances(const SearchCase& search, double width) {
  return kDistances * 2 * static_cast<double>(search.m) * std::pow(width, kGrowth);
}

double ScanCost(const SearchCase& search, double matches) {
  const auto nodes = static_cast<double>(search.num_nodes);
  const bool by_bits =
      search.has_filter && ScansByBits(search.num_matches, search.num_nodes);
  return by_bits ? kScanRowByBits * matches : kScanNode * nodes + kScanRow * matches;
}

}  // namespace

bool ScansByBits(int64_t num_matches, int64_t num_nodes) {
  // Looking up the node of an id costs about as much as asking so many nodes in the
  // order of memory.
  constexpr int64_t kNodesPerLookUp = 40;
  return num_matches <= num_nodes / kNodesPerLookUp;
}

SearchPlan ChoosePlan(const SearchCase& search) {
  const auto nodes = static_cast<double>(search.num_nodes);
  const auto items = static_cast<double>(search.num_items);
  const auto ef = static_cast<double>(std::max(search.ef, search.k));
  double matches = items;
  if (search.has_filter) {
    matches = std::min(static_cast<double>(search.num_matches), items);
  }
  const auto width = static_cast<int64_t>(ef);
  if (search.has_filter && matches <= ef) return {SearchStrategy::kExact, width, 0};
  if (matches < 1) return {SearchStrategy::kGraph, width, 1};

  const double scan = ScanCost(search, matches);
  const double share = matches / nodes;
  const double filtered = WalkDistances(search, std::min(nodes, ef / share));
  const auto max_distances = static_cast<int64_t>(
      std::max(kPatience * filtered, kGivenUpShare * scan / kFilteredDistance));
  const double spread = kSpread * std::sqrt(ef * (1 - share));
  // Exclusions are items that were shown: they may all be among the nearest.
  const double wide =
      std::min(nodes, (ef + spread) / share + static_cast<double>(search.num_excluded));
  const auto wide_width = static_cast<int64_t>(std::ceil(wide));
  if (!search.has_filter && search.num_excluded == 0) {
    return {SearchStrategy::kGraph, wide_width, max_distances};
  }
  const double wide_cost = WalkDistances(search, wide);
  const double filtered_cost = kFilteredDistance * filtered;
  if (search.has_filter && scan <= std::min(wide_cost, filtered_cost)) {
    return {SearchStrategy::kExact, width, 0};
  }
  if (wide <= kMaxWiderPool * ef && wide_cost <= filtered_cost) {
    return {SearchStrategy::kWiderGraph, wide_width, max_distances};
  }
  return {SearchStrategy::kFilteredGraph, width, max_distances};
}

}  // namespace stepwell::index
