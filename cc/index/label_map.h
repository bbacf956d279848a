// Which row holds which id.
#ifndef STEPWELL_CC_INDEX_LABEL_MAP_H_
#define STEPWELL_CC_INDEX_LABEL_MAP_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"

namespace stepwell::index {

// Ids of the rows 0 .. size() - 1 and the way back.
//
// Concurrency: const methods are safe together; writers need exclusion.
class LabelMap {
 public:
  static constexpr int64_t kNoRow = -1;

  int64_t size() const { return static_cast<int64_t>(labels_.size()); }
  int64_t label(int64_t row) const { return labels_[row]; }
  const std::vector<int64_t>& labels() const { return labels_; }

  // The row of an id, kNoRow when there is none.
  int64_t Find(int64_t label) const {
    const auto found = rows_.find(label);
    return found == rows_.end() ? kNoRow : found->second;
  }

  // Append does not fail up to that many rows. Grows by at least a half. Throws
  // std::bad_alloc.
  void Reserve(int64_t num_rows) {
    const auto size = static_cast<size_t>(num_rows);
    if (size > labels_.capacity()) {
      labels_.reserve(std::max(size, labels_.capacity() * 3 / 2));
    }
    rows_.reserve(size);
  }

  // Gives the next row to a new id; false, with nothing changed, for a known
  // one.
  bool Append(int64_t label) {
    if (!rows_.emplace(label, labels_.size()).second) return false;
    labels_.push_back(label);
    return true;
  }

  // Removes `row` by giving its place to the last row.
  void RemoveBySwap(int64_t row) {
    rows_.erase(labels_[row]);
    if (row + 1 != size()) {
      labels_[row] = labels_.back();
      rows_[labels_[row]] = static_cast<uint32_t>(row);
    }
    labels_.pop_back();
  }

  // About 8 bytes a row for the ids and 17 / load for the way back.
  int64_t MemoryBytes() const {
    constexpr int64_t kSlotBytes = sizeof(std::pair<int64_t, uint32_t>) + 1;
    return static_cast<int64_t>(labels_.capacity() * sizeof(int64_t) +
                                rows_.capacity() * kSlotBytes);
  }

 private:
  std::vector<int64_t> labels_;
  absl::flat_hash_map<int64_t, uint32_t> rows_;
};

}  // namespace stepwell::index

#endif  // STEPWELL_CC_INDEX_LABEL_MAP_H_
