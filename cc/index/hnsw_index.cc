#include "cc/index/hnsw_index.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cc/base/field_error.h"
#include "cc/base/status_macros.h"
#include "cc/index/input_checks.h"
#include "cc/index/row_filter.h"
#include "cc/index/search_budget.h"
#include "cc/index/top_k.h"

namespace stepwell::index {
namespace {

// A filtered walk visits about this many nodes for each one it keeps, times the
// inverse of the share kept: beyond `matches^2 > factor * ef * N` the graph is
// cheaper.
constexpr double kExactScanFactor = 4.0;

// Scratches kept for reuse: more callers at once than this allocate anew.
constexpr size_t kMaxFreeScratches = 64;

constexpr int64_t kScanChunkRows = 256;

OldGraphOptions ToGraphOptions(const HnswOptions& options) {
  return {options.dim, options.m, options.ef_construction, options.seed};
}

}  // namespace

absl::Status CheckHnswOptions(const HnswOptions& options) {
  STEPWELL_RETURN_IF_ERROR(CheckRange("dim", options.dim, 1, kMaxDim));
  STEPWELL_RETURN_IF_ERROR(CheckRange("M", options.m, 2, 128));
  STEPWELL_RETURN_IF_ERROR(
      CheckRange("ef_construction", options.ef_construction, 1, kMaxEf));
  return CheckRange("num_threads", options.num_threads, 1, 64);
}

std::unique_ptr<OldScratch> HnswIndex::ScratchPool::Take() {
  std::lock_guard lock(mutex_);
  if (free_.empty()) return std::make_unique<OldScratch>();
  std::unique_ptr<OldScratch> scratch = std::move(free_.back());
  free_.pop_back();
  return scratch;
}

void HnswIndex::ScratchPool::Return(std::unique_ptr<OldScratch> scratch) {
  std::lock_guard lock(mutex_);
  if (free_.size() < kMaxFreeScratches) free_.push_back(std::move(scratch));
}

HnswIndex::HnswIndex(const HnswOptions& options, int64_t capacity)
    : options_(options),
      kernel_(BestDistanceKernel(options.metric)),
      graph_(ToGraphOptions(options), kernel_, capacity) {
  labels_.Reserve(capacity);
}

absl::StatusOr<std::unique_ptr<HnswIndex>> HnswIndex::Build(
    absl::Span<const float> vectors, absl::Span<const int64_t> ids,
    const HnswOptions& options) {
  STEPWELL_RETURN_IF_ERROR(CheckHnswOptions(options));
  const auto num_rows = static_cast<int64_t>(ids.size());
  STEPWELL_RETURN_IF_ERROR(CheckRange("num_items", num_rows, 0, kMaxItems));
  STEPWELL_RETURN_IF_ERROR(
      CheckVectors(vectors, options.dim, num_rows, options.metric, "vectors"));
  STEPWELL_RETURN_IF_ERROR(CheckIds(ids));
  try {
    std::unique_ptr<HnswIndex> index(new HnswIndex(options, num_rows));
    STEPWELL_RETURN_IF_ERROR(
        index->Put(StoredForm(vectors, options.dim, options.metric), ids));
    return index;
  } catch (const std::exception& error) {
    return absl::ResourceExhaustedError(
        absl::StrCat("building an index of ", num_rows, " items: ", error.what()));
  }
}

absl::Status HnswIndex::Upsert(absl::Span<const float> vectors,
                               absl::Span<const int64_t> ids) {
  STEPWELL_RETURN_IF_ERROR(CheckVectors(vectors, options_.dim,
                                        static_cast<int64_t>(ids.size()),
                                        options_.metric, "vectors"));
  STEPWELL_RETURN_IF_ERROR(CheckIds(ids));
  const std::vector<float> stored = StoredForm(vectors, options_.dim, options_.metric);
  absl::MutexLock lock(&mutex_);
  return Put(stored, ids);
}

// New ids form one batch at the end of the graph; known ones are replaced in
// place.
absl::Status HnswIndex::Put(absl::Span<const float> stored,
                            absl::Span<const int64_t> ids) {
  if (labels_.size() + static_cast<int64_t>(ids.size()) > kMaxItems) {
    return absl::ResourceExhaustedError(
        absl::StrCat("an index holds at most ", kMaxItems, " items"));
  }
  const auto dim = static_cast<size_t>(options_.dim);
  const int64_t first_new = labels_.size();
  std::vector<float> appended;
  try {
    for (size_t i = 0; i < ids.size(); ++i) {
      const float* vector = &stored[i * dim];
      if (labels_.Append(ids[i])) {
        appended.insert(appended.end(), vector, vector + dim);
      } else {
        PutKnown(labels_.Find(ids[i]), vector);
      }
    }
    deleted_rows_.Resize(labels_.size());
    graph_.Append(appended, options_.num_threads);
  } catch (const std::exception& error) {
    DropFailedRows(first_new);
    return absl::ResourceExhaustedError(absl::StrCat("adding items: ", error.what()));
  }
  return absl::OkStatus();
}

// After a failed batch: new rows that the graph knows are dead, others never
// were.
void HnswIndex::DropFailedRows(int64_t first_new) {
  labels_.Truncate(std::max(first_new, graph_.size()));
  deleted_rows_.Resize(labels_.size());
  for (int64_t row = first_new; row < labels_.size(); ++row) deleted_rows_.Set(row);
  num_deleted_ += labels_.size() - first_new;
}

void HnswIndex::PutKnown(int64_t row, const float* vector) {
  graph_.Replace(static_cast<uint32_t>(row), vector);
  if (!deleted_rows_.Test(row)) return;
  deleted_rows_.Clear(row);
  --num_deleted_;
}

absl::StatusOr<DeleteResult> HnswIndex::Delete(absl::Span<const int64_t> ids) {
  DeleteResult result;
  absl::MutexLock lock(&mutex_);
  for (int64_t id : ids) {
    const int64_t row = labels_.Find(id);
    if (row == LabelMap::kNoRow || deleted_rows_.Test(row)) {
      ++result.num_unknown;
      continue;
    }
    deleted_rows_.Set(row);
    ++num_deleted_;
    ++result.num_deleted;
  }
  return result;
}

absl::StatusOr<SearchResult> HnswIndex::Search(absl::Span<const float> queries,
                                               int64_t k,
                                               const SearchOptions& options) const {
  const int64_t dim = options_.dim;
  STEPWELL_RETURN_IF_ERROR(CheckSearch(queries, dim, options_.metric, k, options));
  const std::vector<float> stored = StoredForm(queries, dim, options_.metric);
  SearchResult result = EmptyResult(static_cast<int64_t>(queries.size()) / dim, k);
  absl::ReaderMutexLock lock(&mutex_);
  const RowFilter filter(labels_, options, deleted_rows_, num_deleted_);
  const int64_t ef = std::max(options.ef_search, k);
  if (ScanIsCheaper(ef, options.allowed)) {
    SearchExactly(stored, options, filter, result);
    result.num_exact = result.num_queries;
  } else {
    result.strategy = SearchStrategy::kGraph;
    SearchGraph(stored, options, filter, result);
  }
  return result;
}

bool HnswIndex::ScanIsCheaper(int64_t ef, const IdBitmap* allowed) const {
  if (allowed == nullptr) return false;
  const auto matches = static_cast<double>(allowed->CountSet());
  return matches * matches <= kExactScanFactor * static_cast<double>(ef) *
                                  static_cast<double>(labels_.size());
}

void HnswIndex::SearchGraph(absl::Span<const float> queries,
                            const SearchOptions& options, const RowFilter& filter,
                            SearchResult& result) const {
  const int64_t ef = std::max(options.ef_search, result.k);
  const RowFilter* needed_filter = filter.passes_all() ? nullptr : &filter;
  SearchBudget budget(options);
  std::unique_ptr<OldScratch> scratch = scratch_.Take();
  std::vector<Neighbour> found;
  for (int64_t query = 0; query < result.num_queries; ++query) {
    result.truncated[query] = graph_.Walk(&queries[query * options_.dim], ef,
                                          needed_filter, budget, *scratch);
    found.clear();
    for (const NodeDistance& node : scratch->found()) {
      found.push_back({node.distance, labels_.label(node.node)});
    }
    std::sort(found.begin(), found.end());
    WriteAnswer(found, query, result);
    result.num_visited += scratch->num_hops();
    result.num_distances += scratch->num_distances();
  }
  scratch_.Return(std::move(scratch));
}

void HnswIndex::SearchExactly(absl::Span<const float> queries,
                              const SearchOptions& options, const RowFilter& filter,
                              SearchResult& result) const {
  std::vector<uint32_t> rows;
  options.allowed->ForEachSet([&](int64_t id) {
    const int64_t row = labels_.Find(id);
    if (row != LabelMap::kNoRow && filter(static_cast<uint32_t>(row))) {
      rows.push_back(static_cast<uint32_t>(row));
    }
  });
  const auto num_rows = static_cast<int64_t>(rows.size());
  SearchBudget budget(options);
  TopK best(std::min(result.k, num_rows));
  float distances[kScanChunkRows];
  for (int64_t query = 0; query < result.num_queries; ++query) {
    best.Clear();
    for (int64_t at = 0; at < num_rows && !result.truncated[query];
         at += kScanChunkRows) {
      const int64_t n = std::min(kScanChunkRows, num_rows - at);
      kernel_.gather(&queries[query * options_.dim], options_.dim, graph_.vectors(),
                     &rows[at], n, distances);
      for (int64_t i = 0; i < n; ++i) {
        best.Offer({distances[i], labels_.label(rows[at + i])});
      }
      result.num_distances += n;
      result.truncated[query] = at + n < num_rows && budget.Spent();
    }
    WriteAnswer(best.Sort(), query, result);
  }
}

IndexStats HnswIndex::Stats() const {
  absl::ReaderMutexLock lock(&mutex_);
  IndexStats stats;
  stats.num_items = labels_.size() - num_deleted_;
  stats.num_deleted = num_deleted_;
  stats.num_nodes = labels_.size();
  stats.dim = options_.dim;
  stats.metric = options_.metric;
  stats.m = options_.m;
  stats.ef_construction = options_.ef_construction;
  stats.memory_bytes = graph_.MemoryBytes() + labels_.MemoryBytes();
  stats.space_hash = options_.space_hash;
  return stats;
}

}  // namespace stepwell::index
