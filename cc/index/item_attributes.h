// What is known about items, and which of them fulfil a condition.
#ifndef STEPWELL_CC_INDEX_ITEM_ATTRIBUTES_H_
#define STEPWELL_CC_INDEX_ITEM_ATTRIBUTES_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "cc/index/id_bitmap.h"
#include "cc/index/predicate.h"
#include "cc/index/range_column.h"
#include "cc/index/tag_column.h"

namespace stepwell::index {

// Named columns over the items 0 .. num_items - 1: tags (uint32, several an item) and
// ranges (float64, at most one an item).
//
// Concurrency: columns are added before other threads know the object; then every
// method may be called from any thread. Compile and EstimateCount never wait for a
// Set to be worked out, only for a pointer to be copied. They see every column in one
// state; a Set is seen whole by those that start after it. Sets run one by one.
// Errors: InvalidArgument names the column and the value; nothing is changed then.
class ItemAttributes {
 public:
  // 0 <= num_items <= kMaxItems, by the caller.
  explicit ItemAttributes(int64_t num_items) : num_items_(num_items) {}

  // A new column; `lists` has an entry for every item.
  absl::Status AddTags(const std::string& column, const TagLists& lists);
  // A new column, [num_items]; NaN for an item without a value: it is in no range.
  absl::Status AddRange(const std::string& column, absl::Span<const double> values);

  // Replaces what some items have: ids[i] gets list i, or values[i]. Each id once.
  absl::Status SetTags(const std::string& column, absl::Span<const int64_t> ids,
                       const TagLists& lists);
  absl::Status SetRange(const std::string& column, absl::Span<const int64_t> ids,
                        absl::Span<const double> values);

  // Makes room for new items, without tags and values. No effect on fewer items.
  absl::Status Grow(int64_t num_items);

  // The items that fulfil the predicate, one bit each, counted. A tag that no item
  // carries is no error. Cost: a few operations on num_items / 64 words for each
  // token, and a step for each match in the rare tags and range ends.
  absl::StatusOr<IdBitmap> Compile(absl::Span<const PredicateToken> predicate) const;

  // About how many items Compile would find, from the exact counts of the leaves as
  // if these were independent of each other. Cost: no step for an item.
  absl::StatusOr<double> EstimateCount(
      absl::Span<const PredicateToken> predicate) const;

  int64_t num_items() const { return num_items_.load(std::memory_order_acquire); }

 private:
  // Either pointer is set.
  struct Column {
    std::unique_ptr<TagColumn> tags;
    std::unique_ptr<RangeColumn> range;
  };
  class Snapshots;

  absl::StatusOr<const Column*> Find(const std::string& column, bool tags) const;
  absl::Status CheckNew(const std::string& column) const;
  absl::Status CheckIdsOf(const std::string& column,
                          absl::Span<const int64_t> ids) const;
  absl::StatusOr<Snapshots> Take(absl::Span<const PredicateToken> predicate) const;

  std::atomic<int64_t> num_items_;
  std::map<std::string, Column> columns_;
  std::mutex writers_;  // held by Set and Grow
};

}  // namespace stepwell::index

#endif  // STEPWELL_CC_INDEX_ITEM_ATTRIBUTES_H_
