// What one search works on, kept from one to the next.
#ifndef STEPWELL_CC_INDEX_WALK_SCRATCH_H_
#define STEPWELL_CC_INDEX_WALK_SCRATCH_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "cc/index/graph_storage.h"
#include "cc/index/search_pool.h"

namespace stepwell::index {

// Memory for one coded query, aligned as VectorCodec wants it.
class QueryBuffer {
 public:
  // Throws std::bad_alloc.
  void Resize(size_t num_bytes) { lines_.resize((num_bytes + 63) / 64); }
  char* data() { return lines_.data()->bytes; }

 private:
  struct alignas(64) Line {
    char bytes[64];
  };

  std::vector<Line> lines_;
};

// Begin comes first, with the storage that the query is coded for and walks: a growth
// may replace the graph's storage, and with it the codes, in the middle of a search.
// One thread at a time. Memory: a bit a node, and what the widest search needed.
class WalkScratch {
 public:
  // Throws std::bad_alloc.
  void Begin(const GraphStorage& storage) {
    storage_ = &storage;
    const auto num_words = static_cast<size_t>(storage.capacity() + 63) / 64;
    if (visited_.size() < num_words) visited_.resize(num_words);
    query_.Resize(storage.codec().query_bytes());
    const auto most = static_cast<size_t>(storage.list_size(0));
    if (batch.size() < most) batch.resize(most);
    if (distances.size() < most) distances.resize(most);
    ClearVisited();
    candidates.clear();
    found.clear();
    num_visited = 0;
    num_distances = 0;
    gave_up = false;
  }

  const GraphStorage& storage() const { return *storage_; }
  // Aligned memory for one coded query of the storage's codec.
  char* CodedQuery() { return query_.data(); }

  // True for a node seen for the first time since ClearVisited. Without a branch on
  // what was seen, which nothing predicts.
  bool Visit(uint32_t node) {
    uint64_t& word = visited_[node / 64];
    const uint64_t before = word;
    const uint64_t bit = uint64_t{1} << (node % 64);
    word = before | bit;
    if (lists_touched_ && before == 0) touched_.push_back(node / 64);
    return (before & bit) == 0;
  }
  void ClearVisited() {
    if (!lists_touched_ || visited_.size() < 8 * touched_.size()) {
      std::fill(visited_.begin(), visited_.end(), 0);
    } else {
      for (uint32_t word : touched_) visited_[word] = 0;
    }
    touched_.clear();
    lists_touched_ = visited_.size() > kClearedWhole;
  }

  std::vector<NodeDistance> found;       // the answer of a walk, nearest first
  std::vector<NodeDistance> candidates;  // of a filtered walk: min-heap, to be expanded
  SearchPool pool;                       // of a walk without a filter
  std::vector<uint32_t> batch;           // nodes measured together and their distances
  std::vector<float> distances;
  int64_t num_visited = 0;    // nodes whose links were read, since Begin
  int64_t num_distances = 0;  // since Begin
  bool gave_up = false;       // a filtered walk reached its largest number of distances

 private:
  // A bitmap of up to 256 KiB (two million nodes) is cleared whole sooner than a list
  // of what was touched is kept.
  static constexpr size_t kClearedWhole = size_t{32} << 10;

  const GraphStorage* storage_ = nullptr;
  QueryBuffer query_;
  std::vector<uint64_t> visited_;
  bool lists_touched_ = false;
  std::vector<uint32_t> touched_;  // if so: words of visited_ that are not zero
};

}  // namespace stepwell::index

#endif  // STEPWELL_CC_INDEX_WALK_SCRATCH_H_
