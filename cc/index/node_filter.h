// Which nodes one query may return.
#ifndef STEPWELL_CC_INDEX_NODE_FILTER_H_
#define STEPWELL_CC_INDEX_NODE_FILTER_H_

#include <cstdint>
#include <vector>

#include "cc/index/ann_index.h"
#include "cc/index/graph_storage.h"
#include "cc/index/id_bitmap.h"
#include "cc/index/label_table.h"

namespace stepwell::index {

// A few thousand nodes in 8 bytes each, where a bit for every node of the index
// would have to be cleared for every query. Open addressing, never more than half
// full. Const methods are safe together.
class NodeSet {
 public:
  bool empty() const { return size_ == 0; }
  int64_t size() const { return size_; }
  // Before Add: room for that many. Throws std::bad_alloc.
  void Reserve(int64_t num_nodes);
  void Add(uint32_t node);

  bool Contains(uint32_t node) const {
    for (size_t at = Place(node);; at = (at + 1) & mask_) {
      if (places_[at] == node) return true;
      if (places_[at] == kNoNode) return false;
    }
  }

 private:
  // Fibonacci hashing: neighbouring nodes spread over the table.
  size_t Place(uint32_t node) const {
    return static_cast<size_t>((node * uint64_t{0x9E3779B97F4A7C15}) >> 32) & mask_;
  }

  std::vector<uint32_t> places_{kNoNode};
  size_t mask_ = 0;
  int64_t size_ = 0;
};

// Hidden nodes, the call's exclusions and its allowed set as one test of a node.
//
// Exclusions are looked up once, when the filter is made: an excluded id that is
// written again meanwhile is in a node the filter does not know, so a caller that
// saw a write asks ExcludesLabel of what it found. Hidden bits are read live.
//
// Concurrency: immutable once made; made and used under one Guard of the index,
// whose storage, labels and options it borrows. Cost of making: a look-up an
// exclusion. Cost of a test: a bit, with an allowed set the label and a second bit,
// with exclusions about one place of the set.
class NodeFilter {
 public:
  NodeFilter(const GraphStorage& storage, const LabelTable& labels,
             const SearchOptions& options);

  // True when only hidden nodes are kept back.
  bool passes_all() const { return allowed_ == nullptr && excluded_.empty(); }

  bool operator()(uint32_t node) const {
    return !storage_.hidden(node) && MayShow(node) && Allows(node);
  }

  // Not an exclusion of this call.
  bool MayShow(uint32_t node) const {
    return excluded_.empty() || !excluded_.Contains(node);
  }
  // In the allowed set, or there is none.
  bool Allows(uint32_t node) const {
    return allowed_ == nullptr || allowed_->Test(storage_.label(node));
  }
  bool ExcludesLabel(int64_t label) const;

  // Exclusions that are items of the index.
  int64_t num_excluded() const { return excluded_.size(); }
  const IdBitmap* allowed() const { return allowed_; }
  const LabelTable& labels() const { return labels_; }

 private:
  const GraphStorage& storage_;
  const LabelTable& labels_;
  const IdBitmap* allowed_;
  const absl::Span<const int64_t> exclude_ids_;
  NodeSet excluded_;
};

}  // namespace stepwell::index

#endif  // STEPWELL_CC_INDEX_NODE_FILTER_H_
