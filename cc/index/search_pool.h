// The nearest nodes seen so far and which of them are still to be expanded.
#ifndef STEPWELL_CC_INDEX_SEARCH_POOL_H_
#define STEPWELL_CC_INDEX_SEARCH_POOL_H_

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
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

// At most `limit` nodes, sorted by distance, equal ones as they came: the two heaps of
// the paper in one sequence. That is right while every node may be returned, because
// then a candidate that is not among the `limit` nearest is never expanded.
//
// The sequence lies in blocks of at most 64 nodes, so that a new node moves few others
// however wide the walk is, and its place is found by comparing with all at once.
//
// One thread. Memory: about 17 bytes a node of the limit. Cost of Offer: a comparison
// for a node that is too far, else limit / 32 + 64 comparisons, four or more at a time
// and none of them a branch, and a move of half a block.
class SearchPool {
 public:
  // Empties the pool; limit >= 1. Throws std::bad_alloc.
  void Start(size_t limit) {
    const size_t most_blocks = limit / (kBlockSize / 2) + 2;
    if (blocks_.size() < most_blocks) Grow(most_blocks);
    limit_ = limit;
    size_ = 0;
    num_blocks_ = 1;
    first_open_ = 0;
    bound_ = kNoBound;
    std::fill(farthest_.begin(), farthest_.end(), kInfinity);
    Clear(BlockAt(0));
  }

  // Nodes at this distance or farther would be dropped; not a number while none would.
  float bound() const { return bound_; }

  void Offer(NodeDistance offered) {
    if (offered.distance >= bound_) return;
    size_t at = PlaceOf(offered.distance);
    if (BlockAt(at).size == kBlockSize) {
      Split(at);
      at += static_cast<size_t>(farthest_[at] <= offered.distance);
    }
    InsertInto(BlockAt(at), offered);
    first_open_ = std::min(first_open_, at);
    if (++size_ > limit_) DropFarthest();
    if (size_ == limit_) {
      const Block& last = BlockAt(num_blocks_ - 1);
      bound_ = last.distances[last.size - 1];
    }
  }

  // Takes the nearest node that was not taken; false when there is none.
  bool Next(uint32_t& node) {
    if (!Peek(node)) return false;
    Block& block = BlockAt(first_open_);
    block.open &= block.open - 1;
    return true;
  }

  // The node that Next would take if no nearer one were offered before; false when
  // there is none.
  bool Peek(uint32_t& node) {
    while (first_open_ < num_blocks_ && BlockAt(first_open_).open == 0) ++first_open_;
    if (first_open_ == num_blocks_) return false;
    const Block& block = BlockAt(first_open_);
    node = block.nodes[std::countr_zero(block.open)];
    return true;
  }

  // Appends the nodes, nearest first.
  void CopyTo(std::vector<NodeDistance>& out) const {
    out.reserve(out.size() + size_);
    for (size_t at = 0; at < num_blocks_; ++at) {
      const Block& block = blocks_[order_[at]];
      for (size_t i = 0; i < block.size; ++i) {
        out.push_back({block.distances[i], block.nodes[i]});
      }
    }
  }

 private:
  static constexpr size_t kBlockSize = 64;
  static constexpr float kInfinity = std::numeric_limits<float>::infinity();
  // No distance compares as farther: infinite ones are kept while there is room.
  static constexpr float kNoBound = std::numeric_limits<float>::quiet_NaN();

  struct alignas(64) Block {
    float distances[kBlockSize];  // infinity behind the last
    uint32_t nodes[kBlockSize];
    uint64_t open;  // a bit for each node that was not taken
    size_t size;
  };

  Block& BlockAt(size_t at) { return blocks_[order_[at]]; }

  static void Clear(Block& block) {
    std::fill_n(block.distances, kBlockSize, kInfinity);
    block.open = 0;
    block.size = 0;
  }

  void Grow(size_t num_blocks) {
    const size_t before = blocks_.size();
    // Whole groups of four, see PlaceOf.
    farthest_.resize((num_blocks + 3) / 4 * 4);
    order_.resize(num_blocks);
    blocks_.resize(num_blocks);
    for (size_t i = before; i < num_blocks; ++i) order_[i] = static_cast<uint32_t>(i);
  }

  // The block for a node: the first one that goes farther, else the last.
  size_t PlaceOf(float distance) const {
    uint32_t count = 0;
    for (size_t i = 0; i < num_blocks_; i += 4) {
      for (size_t j = 0; j < 4; ++j) count += farthest_[i + j] <= distance;
    }
    return std::min<size_t>(count, num_blocks_ - 1);
  }

  static void InsertInto(Block& block, NodeDistance offered) {
    uint32_t count = 0;
    for (size_t i = 0; i < kBlockSize; ++i) {
      count += block.distances[i] <= offered.distance;
    }
    const size_t at = std::min<size_t>(count, block.size);
    const size_t num_moved = block.size - at;
    std::memmove(&block.distances[at + 1], &block.distances[at],
                 num_moved * sizeof(float));
    std::memmove(&block.nodes[at + 1], &block.nodes[at], num_moved * sizeof(uint32_t));
    block.distances[at] = offered.distance;
    block.nodes[at] = offered.node;
    const uint64_t bit = uint64_t{1} << at;
    const uint64_t nearer = block.open & (bit - 1);
    block.open = ((block.open ^ nearer) << 1) | bit | nearer;
    ++block.size;
  }

  // Moves the farther half of a full block into a block of its own behind it.
  void Split(size_t at) {
    constexpr size_t kHalf = kBlockSize / 2;
    // Blocks that are not in use stand behind the others in the order.
    std::rotate(order_.begin() + at + 1, order_.begin() + num_blocks_,
                order_.begin() + num_blocks_ + 1);
    std::copy_backward(farthest_.begin() + at, farthest_.begin() + num_blocks_,
                       farthest_.begin() + num_blocks_ + 1);
    ++num_blocks_;
    Block &near = BlockAt(at), &far = BlockAt(at + 1);
    Clear(far);
    std::copy_n(near.distances + kHalf, kHalf, far.distances);
    std::copy_n(near.nodes + kHalf, kHalf, far.nodes);
    std::fill_n(near.distances + kHalf, kHalf, kInfinity);
    far.open = near.open >> kHalf;
    near.open &= (uint64_t{1} << kHalf) - 1;
    near.size = far.size = kHalf;
    farthest_[at] = near.distances[kHalf - 1];
  }

  void DropFarthest() {
    Block& last = BlockAt(num_blocks_ - 1);
    --size_;
    --last.size;
    last.distances[last.size] = kInfinity;
    last.open &= (uint64_t{1} << last.size) - 1;
    if (last.size > 0) return;
    --num_blocks_;
    farthest_[num_blocks_ - 1] = kInfinity;
  }

  std::vector<Block> blocks_;
  // By place in the sequence: number of the block, and its largest distance. The last
  // block takes whatever comes: its entry, and all behind, are infinity.
  std::vector<uint32_t> order_;
  std::vector<float> farthest_;
  size_t limit_ = 0;
  size_t size_ = 0;
  size_t num_blocks_ = 0;
  size_t first_open_ = 0;  // no block before it has open nodes
  float bound_ = kNoBound;
};

}  // namespace stepwell::index

#endif  // STEPWELL_CC_INDEX_SEARCH_POOL_H_
