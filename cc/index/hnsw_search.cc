#include "cc/index/hnsw_search.h"

#include <algorithm>
#include <memory>
#include <new>

#include "cc/base/status_macros.h"
#include "cc/index/exact_scan.h"
#include "cc/index/hnsw_index.h"
#include "cc/index/input_checks.h"

namespace stepwell::index {
namespace {

// Candidates that are scored by their vectors: codes confuse neighbours whose
// distances differ by less than a step, so the k best by codes are not the k best. On
// GloVe (cosine, int8, k = 100) 32 more give the recall that scoring all gives; limits
// by the largest magnitude (inner product, L2) make coarser steps, hence the half.
size_t NumRescored(int64_t k) {
  return static_cast<size_t>(std::max(k + k / 2, k + 32));
}

}  // namespace

HnswSearch::HnswSearch(const SearchedParts& parts, const SearchOptions& options,
                       SearchResult& result, WalkScratch& scratch)
    : parts_(parts),
      options_(options),
      result_(result),
      scratch_(scratch),
      budget_(options),
      num_allowed_(options.allowed == nullptr ? 0 : options.allowed->CountSet()) {}

void HnswSearch::Answer(const float* query, int64_t row) {
  ReaderGate::Guard guard(parts_.gate);
  const uint64_t writes = parts_.num_writes.load(std::memory_order_acquire);
  const GraphStorage& storage = parts_.graph.storage();
  const NodeFilter filter(storage, parts_.labels, options_);
  scratch_.Begin(storage);
  storage.codec().EncodeQuery(query, scratch_.CodedQuery());
  const SearchPlan plan = Plan(storage, filter);
  if (row == 0) result_.strategy = plan.strategy;
  truncated_ = scanned_ = false;
  Find(query, filter, plan);
  const bool wrote =
      writes % 2 == 1 || parts_.num_writes.load(std::memory_order_acquire) != writes;
  if (wrote) FollowReplaced(filter);
  Score(query, wrote);
  if (wrote) DropSurpassed(filter);
  WriteAnswer(scored_, row, result_);
  result_.truncated[row] = truncated_;
  result_.num_exact += scanned_;
  result_.num_visited += scratch_.num_visited;
  result_.num_distances += scratch_.num_distances;
}

// Codes put some of the k best behind others. Where vectors tell them apart a quarter
// more than k are looked at: on GloVe (cosine, int8, k = ef_search = 100) that gives
// three points of recall, and five and a half for the last ten of the hundred.
int64_t HnswSearch::Width(const GraphStorage& storage) const {
  const bool rescored = storage.shape().keep_vectors;  // never so of float32 codes
  return std::max(options_.ef_search, result_.k + (rescored ? result_.k / 4 : 0));
}

SearchPlan HnswSearch::Plan(const GraphStorage& storage,
                            const NodeFilter& filter) const {
  const int64_t ef = Width(storage);
  if (options_.exact) return {SearchStrategy::kExact, ef, 0};
  SearchCase search;
  search.num_nodes = storage.num_nodes();
  search.num_items = parts_.labels.size();
  search.num_matches = num_allowed_;
  search.num_excluded = filter.num_excluded();
  search.m = storage.shape().m;
  search.ef = ef;
  search.k = result_.k;
  search.has_filter = options_.allowed != nullptr;
  return ChoosePlan(search);
}

// Items that an answer can hold, at most k. An upper bound where a set is given.
int64_t HnswSearch::NumReachable(const NodeFilter& filter) const {
  int64_t items = parts_.labels.size() - filter.num_excluded();
  if (options_.allowed != nullptr) items = std::min(items, num_allowed_);
  return std::min(items, result_.k);
}

void HnswSearch::Find(const float* query, const NodeFilter& filter,
                      const SearchPlan& plan) {
  const auto width = static_cast<size_t>(plan.width);
  const auto lacks = [&] {
    return !truncated_ && static_cast<int64_t>(kept_.size()) < NumReachable(filter);
  };
  if (plan.strategy == SearchStrategy::kExact) return Scan(query, filter, width);
  if (plan.strategy != SearchStrategy::kFilteredGraph) {
    truncated_ = parts_.graph.WalkAll(scratch_.CodedQuery(), width, budget_, scratch_);
    KeepPassing(filter);
    if (!lacks()) return;
  }
  const auto ef = static_cast<size_t>(Width(scratch_.storage()));
  truncated_ = parts_.graph.WalkFiltered(scratch_.CodedQuery(), ef, filter,
                                         plan.max_distances, budget_, scratch_);
  KeepPassing(filter);
  // Given up, or no way leads to the others: all are compared.
  if (lacks() || (scratch_.gave_up && !truncated_)) Scan(query, filter, ef);
}

void HnswSearch::Scan(const float* query, const NodeFilter& filter, size_t width) {
  scanned_ = true;
  const GraphStorage& storage = scratch_.storage();
  ScanQuery scan{.coded = scratch_.CodedQuery(), .exact = nullptr};
  if (options_.exact && storage.vectors().base != nullptr) scan.exact = query;
  const ScanOutcome outcome = ExactScan(storage, scan, filter, width, budget_, kept_);
  truncated_ = outcome.truncated;
  scratch_.num_distances += outcome.num_distances;
}

void HnswSearch::KeepPassing(const NodeFilter& filter) {
  // Twice what is scored: an item that is being replaced may be in two nodes.
  const size_t enough = 2 * NumRescored(result_.k);
  kept_.clear();
  kept_.reserve(std::min(enough, scratch_.found.size()));
  for (const NodeDistance& found : scratch_.found) {
    if (kept_.size() == enough) break;
    if (filter(found.node)) kept_.push_back(found);
  }
}

// Items that were replaced after the walk had met them: their new nodes.
void HnswSearch::FollowReplaced(const NodeFilter& filter) {
  const GraphStorage& storage = scratch_.storage();
  for (const NodeDistance& found : scratch_.found) {
    const int64_t label = storage.label(found.node);
    if (!storage.hidden(found.node) || label < 0) continue;
    const uint32_t node = parts_.labels.Find(label);
    if (node == kNoNode || node == found.node || !filter.Allows(node)) continue;
    NodeDistance current{0, node};
    storage.codec().Gather(scratch_.CodedQuery(), storage.codes(), &node, 1,
                           &current.distance);
    kept_.push_back(current);
  }
  std::sort(kept_.begin(), kept_.end());
}

void HnswSearch::Score(const float* query, bool wrote) {
  const GraphStorage& storage = scratch_.storage();
  const RowBlock vectors = storage.vectors();
  size_t num_scored = std::min(kept_.size(), NumRescored(result_.k));
  // Some of them may be dropped again.
  if (wrote) num_scored = kept_.size();
  scratch_.batch.resize(std::max(scratch_.batch.size(), num_scored));
  scratch_.distances.resize(std::max(scratch_.distances.size(), num_scored));
  for (size_t i = 0; i < num_scored; ++i) {
    scratch_.batch[i] = kept_[i].node;
    scratch_.distances[i] = kept_[i].distance;
  }
  if (vectors.base != nullptr) {
    const DistanceKernel& kernel = BestDistanceKernel(storage.codec().metric());
    kernel.gather(query, static_cast<size_t>(storage.shape().dim), vectors,
                  scratch_.batch.data(), num_scored, scratch_.distances.data());
  }
  scored_.clear();
  for (size_t i = 0; i < num_scored; ++i) {
    scored_.push_back({scratch_.distances[i], storage.label(scratch_.batch[i])});
  }
  std::sort(scored_.begin(), scored_.end());
}

// One answer an item, and none for an id whose exclusion the filter did not know.
void HnswSearch::DropSurpassed(const NodeFilter& filter) {
  const auto by_id = [](const Neighbour& a, const Neighbour& b) {
    return a.id != b.id ? a.id < b.id : a.distance < b.distance;
  };
  std::sort(scored_.begin(), scored_.end(), by_id);
  const auto same = [](const Neighbour& a, const Neighbour& b) { return a.id == b.id; };
  scored_.erase(std::unique(scored_.begin(), scored_.end(), same), scored_.end());
  std::erase_if(scored_, [&](const Neighbour& neighbour) {
    return filter.ExcludesLabel(neighbour.id);
  });
  std::sort(scored_.begin(), scored_.end());
}

absl::StatusOr<SearchResult> HnswIndex::Search(absl::Span<const float> queries,
                                               int64_t k,
                                               const SearchOptions& options) const {
  const int64_t dim = options_.dim;
  STEPWELL_RETURN_IF_ERROR(CheckSearch(queries, dim, options_.metric, k, options));
  try {
    const std::vector<float> stored = StoredForm(queries, dim, options_.metric);
    SearchResult result = EmptyResult(static_cast<int64_t>(queries.size()) / dim, k);
    const ScratchPool::Lease scratch(scratches_);
    const SearchedParts parts{graph_, labels_, gate_, num_writes_};
    HnswSearch search(parts, options, result, *scratch);
    for (int64_t row = 0; row < result.num_queries; ++row) {
      search.Answer(&stored[row * dim], row);
    }
    return result;
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError("searching: memory is out");
  }
}

}  // namespace stepwell::index
