// The k nearest of a stream.
#ifndef STEPWELL_CC_INDEX_TOP_K_H_
#define STEPWELL_CC_INDEX_TOP_K_H_

#include <algorithm>
#include <cstdint>
#include <vector>

#include "cc/index/ann_index.h"
#include "cc/index/distance.h"

namespace stepwell::index {

// An id at a distance; nearer first, ties by lower id: the order of every
// answer.
struct Neighbour {
  float distance;
  int64_t id;

  bool operator<(const Neighbour& other) const {
    return distance != other.distance ? distance < other.distance : id < other.id;
  }
};

// Keeps the k nearest of what it is given. One thread. Cost: O(log k) for a
// neighbour that enters, one comparison for any other.
class TopK {
 public:
  explicit TopK(int64_t k) : k_(k) { heap_.reserve(k); }

  void Clear() { heap_.clear(); }

  void Offer(Neighbour neighbour) {
    if (static_cast<int64_t>(heap_.size()) < k_) {
      heap_.push_back(neighbour);
      std::push_heap(heap_.begin(), heap_.end());
    } else if (neighbour < heap_.front()) {
      std::pop_heap(heap_.begin(), heap_.end());
      heap_.back() = neighbour;
      std::push_heap(heap_.begin(), heap_.end());
    }
  }

  // The kept ones, nearest first; the collector is no heap afterwards: Clear()
  // it.
  const std::vector<Neighbour>& Sort() {
    std::sort(heap_.begin(), heap_.end());
    return heap_;
  }

 private:
  const int64_t k_;
  std::vector<Neighbour> heap_;
};

// An answer for `num_queries` with nothing found yet.
SearchResult EmptyResult(int64_t num_queries, int64_t k);

// Writes the first k of `sorted` as the answer of one query.
void WriteAnswer(const std::vector<Neighbour>& sorted, int64_t query,
                 SearchResult& result);

}  // namespace stepwell::index

#endif  // STEPWELL_CC_INDEX_TOP_K_H_
