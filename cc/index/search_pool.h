// The nearest nodes seen so far and which of them are still to be expanded.
#ifndef STEPWELL_CC_INDEX_SEARCH_POOL_H_
#define STEPWELL_CC_INDEX_SEARCH_POOL_H_

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

namespace stepwell::index {

// A node at a distance; ties by lower node.
struct NodeDistance {
  float distance;
  uint32_t node;

  bool operator<(const NodeDistance& other) const {
    return distance != other.distance ? distance < other.distance : node < other.node;
  }
  bool operator>(const NodeDistance& other) const { return other < *this; }
};

// At most `limit` nodes, sorted by distance: the two heaps of the paper in one
// array. That is right while every node may be returned, because then a
// candidate that is not among the `limit` nearest is never expanded.
//
// One thread. Cost of Offer: a comparison for a node that is too far, else a
// binary search and a move of 8 bytes for each farther entry. Nodes are < 2^31.
class SearchPool {
 public:
  void Start(size_t limit) {
    if (entries_.size() < limit + 1) entries_.resize(limit + 1);
    limit_ = limit;
    size_ = 0;
    next_ = 0;
  }

  void Offer(NodeDistance offered) {
    if (size_ == limit_ && offered.distance >= entries_[size_ - 1].distance) return;
    const auto first = entries_.begin();
    const auto at = std::upper_bound(first, first + size_, offered.distance,
                                     [](float distance, const NodeDistance& entry) {
                                       return distance < entry.distance;
                                     }) -
                    first;
    NodeDistance* place = &entries_[at];
    // One place more than the limit is allocated: the last entry may fall into
    // it.
    std::memmove(place + 1, place, (size_ - at) * sizeof(NodeDistance));
    *place = offered;
    size_ = std::min(size_ + 1, limit_);
    next_ = std::min<size_t>(next_, at);
  }

  // Takes the nearest node that was not taken; false when there is none.
  bool Next(uint32_t& node) {
    while (next_ < size_ && (entries_[next_].node & kTaken)) ++next_;
    if (next_ == size_) return false;
    node = entries_[next_].node;
    entries_[next_++].node |= kTaken;
    return true;
  }

  // The node that Next would take if no nearer one were offered before; false when
  // there is none.
  bool Peek(uint32_t& node) const {
    size_t at = next_;
    while (at < size_ && (entries_[at].node & kTaken)) ++at;
    if (at < size_) node = entries_[at].node;
    return at < size_;
  }

  // Appends the nodes, nearest first.
  void CopyTo(std::vector<NodeDistance>& out) const {
    for (size_t i = 0; i < size_; ++i) {
      out.push_back({entries_[i].distance, entries_[i].node & ~kTaken});
    }
  }

 private:
  static constexpr uint32_t kTaken = uint32_t{1} << 31;

  std::vector<NodeDistance> entries_;
  size_t limit_ = 0;
  size_t size_ = 0;
  size_t next_ = 0;  // all before it are taken
};

}  // namespace stepwell::index

#endif  // STEPWELL_CC_INDEX_SEARCH_POOL_H_
