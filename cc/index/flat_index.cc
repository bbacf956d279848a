#include "cc/index/flat_index.h"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <new>
#include <numeric>
#include <shared_mutex>

#include "absl/strings/str_cat.h"
#include "cc/base/field_error.h"
#include "cc/base/status_macros.h"
#include "cc/index/input_checks.h"
#include "cc/index/new_index_file.h"
#include "cc/index/open_index_file.h"
#include "cc/index/row_filter.h"
#include "cc/index/search_budget.h"
#include "cc/index/top_k.h"

namespace stepwell::index {
namespace {

// Rows whose distances are computed between two looks at the clock.
constexpr int64_t kChunkRows = 256;

// Scans all rows for one query; true when the budget ended it.
class Scanner {
 public:
  Scanner(const DistanceKernel& kernel, const std::vector<float>& vectors, int64_t dim,
          const LabelMap& labels)
      : kernel_(kernel), vectors_(vectors), dim_(dim), labels_(labels) {}

  bool Scan(const float* query, const RowFilter& filter, SearchBudget& budget,
            TopK& best) const {
    const bool keeps_all = filter.passes_all();
    uint32_t rows[kChunkRows];
    float distances[kChunkRows];
    for (int64_t start = 0; start < labels_.size(); start += kChunkRows) {
      if (budget.Spent()) return true;
      const int64_t end = std::min(start + kChunkRows, labels_.size());
      size_t n = 0;
      for (int64_t row = start; row < end; ++row) {
        const auto narrow = static_cast<uint32_t>(row);
        if (keeps_all || filter(narrow)) rows[n++] = narrow;
      }
      kernel_.gather(query, dim_, Block(), rows, n, distances);
      for (size_t i = 0; i < n; ++i) {
        best.Offer({distances[i], labels_.label(rows[i])});
      }
    }
    return false;
  }

 private:
  RowBlock Block() const {
    return {reinterpret_cast<const char*>(vectors_.data()), dim_ * sizeof(float)};
  }

  const DistanceKernel& kernel_;
  const std::vector<float>& vectors_;
  const size_t dim_;
  const LabelMap& labels_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<FlatIndex>> FlatIndex::Build(
    absl::Span<const float> vectors, absl::Span<const int64_t> ids,
    const FlatOptions& options) {
  STEPWELL_RETURN_IF_ERROR(CheckRange("dim", options.dim, 1, kMaxDim));
  std::unique_ptr<FlatIndex> index(new FlatIndex(options));
  STEPWELL_RETURN_IF_ERROR(index->Upsert(vectors, ids));
  return index;
}

absl::Status FlatIndex::Upsert(absl::Span<const float> vectors,
                               absl::Span<const int64_t> ids) {
  STEPWELL_RETURN_IF_ERROR(CheckVectors(vectors, options_.dim,
                                        static_cast<int64_t>(ids.size()),
                                        options_.metric, "vectors"));
  try {
    STEPWELL_RETURN_IF_ERROR(CheckIds(ids));
    const std::vector<float> stored =
        StoredForm(vectors, options_.dim, options_.metric);
    std::unique_lock lock(mutex_);
    const int64_t most_rows = labels_.size() + static_cast<int64_t>(ids.size());
    if (most_rows > kMaxItems) {
      return absl::ResourceExhaustedError(
          absl::StrCat("an index holds at most ", kMaxItems, " items"));
    }
    MakeRoom(most_rows);
    for (size_t i = 0; i < ids.size(); ++i) PutRow(ids[i], &stored[i * options_.dim]);
    return absl::OkStatus();
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError("adding items: memory is out");
  }
}

// After this no row of a batch fails, and none is left with an id and no vector. A half
// more each time, so that copies stay a constant share of the work.
void FlatIndex::MakeRoom(int64_t num_rows) {
  const auto num_values = static_cast<size_t>(num_rows * options_.dim);
  if (num_values > vectors_.capacity()) {
    vectors_.reserve(std::max(num_values, vectors_.capacity() * 3 / 2));
  }
  labels_.Reserve(num_rows);
}

void FlatIndex::PutRow(int64_t id, const float* vector) {
  const int64_t row = labels_.Find(id);
  if (row == LabelMap::kNoRow) {
    labels_.Append(id);
    vectors_.insert(vectors_.end(), vector, vector + options_.dim);
  } else {
    std::copy_n(vector, options_.dim, &vectors_[row * options_.dim]);
  }
}

absl::StatusOr<DeleteResult> FlatIndex::Delete(absl::Span<const int64_t> ids) {
  DeleteResult result;
  std::unique_lock lock(mutex_);
  for (int64_t id : ids) {
    const int64_t row = labels_.Find(id);
    if (row == LabelMap::kNoRow) {
      ++result.num_unknown;
    } else {
      RemoveRow(row);
      ++result.num_deleted;
    }
  }
  return result;
}

void FlatIndex::RemoveRow(int64_t row) {
  const int64_t last = labels_.size() - 1;
  if (row != last) {
    std::copy_n(&vectors_[last * options_.dim], options_.dim,
                &vectors_[row * options_.dim]);
  }
  vectors_.resize(last * options_.dim);
  labels_.RemoveBySwap(row);
}

absl::StatusOr<SearchResult> FlatIndex::Search(absl::Span<const float> queries,
                                               int64_t k,
                                               const SearchOptions& options) const {
  const int64_t dim = options_.dim;
  STEPWELL_RETURN_IF_ERROR(CheckSearch(queries, dim, options_.metric, k, options));
  try {
    return SearchRows(queries, k, options);
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError("searching: memory is out");
  }
}

SearchResult FlatIndex::SearchRows(absl::Span<const float> queries, int64_t k,
                                   const SearchOptions& options) const {
  const int64_t dim = options_.dim;
  const std::vector<float> stored = StoredForm(queries, dim, options_.metric);
  SearchResult result = EmptyResult(static_cast<int64_t>(queries.size()) / dim, k);
  SearchBudget budget(options);
  std::shared_lock lock(mutex_);
  const RowFilter filter(labels_, options);
  const Scanner scanner(kernel_, vectors_, dim, labels_);
  TopK best(std::min(k, labels_.size()));
  for (int64_t query = 0; query < result.num_queries; ++query) {
    best.Clear();
    result.truncated[query] = scanner.Scan(&stored[query * dim], filter, budget, best);
    WriteAnswer(best.Sort(), query, result);
    result.num_distances += labels_.size();
    ++result.num_exact;
  }
  return result;
}

IndexStats FlatIndex::Stats() const {
  std::shared_lock lock(mutex_);
  IndexStats stats;
  stats.num_items = labels_.size();
  stats.num_nodes = labels_.size();
  stats.dim = options_.dim;
  stats.metric = options_.metric;
  stats.memory_bytes =
      labels_.MemoryBytes() + static_cast<int64_t>(vectors_.capacity() * sizeof(float));
  stats.space_hash = options_.space_hash;
  return stats;
}

absl::Status FlatIndex::Save(const std::string& path) const {
  std::shared_lock lock(mutex_);
  IndexFileHeader header;
  header.kind = IndexFileKind::kFlat;
  header.metric = options_.metric;
  header.dim = options_.dim;
  header.num_nodes = labels_.size();
  header.num_items = labels_.size();
  header.space_hash = options_.space_hash;
  std::vector<uint32_t> rows(labels_.size());
  std::iota(rows.begin(), rows.end(), 0);
  std::sort(rows.begin(), rows.end(), [this](uint32_t a, uint32_t b) {
    return labels_.label(a) < labels_.label(b);
  });
  STEPWELL_ASSIGN_OR_RETURN(auto file, NewIndexFile::Create(path, header));
  STEPWELL_RETURN_IF_ERROR(
      file->AppendValues(IndexSection::kLabels, absl::MakeConstSpan(labels_.labels())));
  STEPWELL_RETURN_IF_ERROR(
      file->AppendValues(IndexSection::kNodesByLabel, absl::MakeConstSpan(rows)));
  STEPWELL_RETURN_IF_ERROR(
      file->AppendValues(IndexSection::kVectors, absl::MakeConstSpan(vectors_)));
  return file->Commit();
}

absl::StatusOr<std::unique_ptr<FlatIndex>> FlatIndex::Open(
    const std::string& path, const SpaceHash* expected_space_hash) {
  STEPWELL_ASSIGN_OR_RETURN(
      const OpenedIndexFile file,
      OpenIndexFile(path, IndexFileKind::kFlat, expected_space_hash));
  const IndexFileHeader& header = file.view.header();
  std::unique_ptr<FlatIndex> index(
      new FlatIndex({header.dim, header.metric, header.space_hash}));
  const auto vectors = file.view.values<float>(IndexSection::kVectors);
  index->vectors_.assign(vectors.begin(), vectors.end());
  index->labels_.Reserve(header.num_items);
  for (int64_t label : file.view.values<int64_t>(IndexSection::kLabels)) {
    index->labels_.Append(label);
  }
  return index;
}

}  // namespace stepwell::index
