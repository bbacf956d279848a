// The one interface of nearest-neighbour search.
#ifndef STEPWELL_CC_INDEX_ANN_INDEX_H_
#define STEPWELL_CC_INDEX_ANN_INDEX_H_

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "cc/base/clock.h"
#include "cc/index/id_bitmap.h"
#include "cc/index/metric.h"

namespace stepwell::index {

inline constexpr int64_t kMaxDim = 4096;
inline constexpr int64_t kMaxK = 10'000;
inline constexpr int64_t kMaxEf = 10'000;
// Nodes are numbered in 32 bits; the upper half is never used.
inline constexpr int64_t kMaxItems = (int64_t{1} << 31) - 2;

// SHA-256 of the embedding space: an index answers only towers of its own
// space.
using SpaceHash = std::array<uint8_t, 32>;

struct SearchOptions {
  // Width of the graph search, 1 <= ef_search <= 10'000. At least k is used, and 1.25 k
  // where the best by codes are scored again by kept vectors. hnswlib calls it ef,
  // faiss efSearch. Ignored by the exact index.
  int64_t ef_search = 64;
  // Ids never to return; unknown ones are ignored.
  absl::Span<const int64_t> exclude_ids;
  // When set, only ids whose bit is set may be returned. Borrowed for the call.
  const IdBitmap* allowed = nullptr;
  // Time for the whole call in nanoseconds, 0 for no limit. When it is over,
  // queries give the best found so far and are marked as truncated.
  int64_t budget_nanos = 0;
  const Clock* clock = &Clock::Steady();
  // Compares every item that may be returned: the answer is exact as far as the index
  // keeps vectors. Always so in the exact index.
  bool exact = false;
};

// How a search was planned.
enum class SearchStrategy : uint8_t {
  kGraph = 0,          // a walk of width ef_search
  kWiderGraph = 1,     // a wider walk whose answer is filtered
  kFilteredGraph = 2,  // a walk that goes on until enough nodes pass the filter
  kExact = 3,          // every item that passes the filter is compared
};

// "graph", "wider_graph", "filtered_graph" or "exact".
inline std::string_view SearchStrategyName(SearchStrategy strategy) {
  constexpr std::array<std::string_view, 4> kNames = {"graph", "wider_graph",
                                                      "filtered_graph", "exact"};
  return kNames[static_cast<size_t>(strategy)];
}

// Row-major [num_queries, k]; memory is owned by the result.
struct SearchResult {
  int64_t num_queries = 0;
  int64_t k = 0;
  std::vector<int64_t> ids;        // best first, padded with -1
  std::vector<float> scores;       // descending, ties by lower id; 0 in the padding
  std::vector<int32_t> counts;     // [num_queries], how many of the k are real
  std::vector<uint8_t> truncated;  // [num_queries], 1 when the budget ended the search
  int64_t num_visited = 0;         // nodes whose neighbours were read, all queries
  int64_t num_distances = 0;       // distances computed, all queries
  SearchStrategy strategy = SearchStrategy::kExact;  // what was planned for the call
  int64_t num_exact = 0;  // queries whose answer came from a scan, planned or not
};

struct DeleteResult {
  int64_t num_deleted = 0;
  int64_t num_unknown = 0;  // never added, or deleted before
};

struct IndexStats {
  int64_t num_items = 0;    // what a search can return
  int64_t num_deleted = 0;  // marked, still in memory
  int64_t num_nodes = 0;    // places for items in use: live, marked and free
  int64_t num_free = 0;     // of them, places that the next items take
  int64_t dim = 0;
  Metric metric = Metric::kInnerProduct;
  int64_t m = 0;                       // 0 for the exact index
  int64_t ef_construction = 0;         // 0 for the exact index
  int64_t memory_bytes = 0;            // vectors, graph and labels
  std::string_view codes = "float32";  // what the first pass compares
  bool keep_vectors = true;            // whether scores are exact
  bool mapped = false;                 // still the pages of a file
  SpaceHash space_hash{};
};

// Vectors under int64 ids, searched by score. Each class also has
// `Build(vectors, ids, options)` and `Open(path, expected_space_hash)`.
//
// Concurrency: every method may be called from any thread. Each search that starts
// after a write has returned sees the whole of it; one that runs beside a write sees
// each of its items as before or as after it, never both, and no id twice. How much
// runs side by side is said by each class.
//
// Memory: inputs are borrowed for the call, row-major float32 [N, dim]; results
// own theirs. Ids are >= 0. Cosine keeps a copy of unit norm.
//
// Errors: InvalidArgument for a wrong size, an id < 0 or twice in a batch, a
// value that is not finite, or a zero vector under cosine; nothing is changed
// then.
class AnnIndex {
 public:
  virtual ~AnnIndex() = default;

  // Length of every vector; never changes.
  virtual int64_t dim() const = 0;

  // Adds the vectors, replacing those of known ids; a deleted id comes back to
  // life. ResourceExhausted past kMaxItems or when memory is out.
  virtual absl::Status Upsert(absl::Span<const float> vectors,
                              absl::Span<const int64_t> ids) = 0;

  // Removes the ids from all later answers. Unknown ids are counted, not an
  // error.
  virtual absl::StatusOr<DeleteResult> Delete(absl::Span<const int64_t> ids) = 0;

  // The k best ids of each query, 1 <= k <= kMaxK. Fewer alive and allowed
  // items than k give a short list, never an error.
  virtual absl::StatusOr<SearchResult> Search(absl::Span<const float> queries,
                                              int64_t k,
                                              const SearchOptions& options) const = 0;

  // Writes a file and makes it durable before it takes the name `path`: a crash
  // leaves the old file or the new one. Waits for the disk.
  virtual absl::Status Save(const std::string& path) const = 0;

  virtual IndexStats Stats() const = 0;
};

}  // namespace stepwell::index

#endif  // STEPWELL_CC_INDEX_ANN_INDEX_H_
