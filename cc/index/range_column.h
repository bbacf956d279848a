// Which items have a value in a range.
#ifndef STEPWELL_CC_INDEX_RANGE_COLUMN_H_
#define STEPWELL_CC_INDEX_RANGE_COLUMN_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/types/span.h"
#include "cc/index/id_bitmap.h"

namespace stepwell::index {

struct ValueOfItem {
  double value;
  uint32_t id;

  bool operator<(const ValueOfItem& other) const {
    return value != other.value ? value < other.value : id < other.id;
  }
};

// One state of a column: the values in sorted buckets of about equal size, and for
// every border between two buckets the items below it as bits. A range is then two
// rows of bits, one without the other, and what two binary searches find in the
// buckets at its ends. Immutable.
class SortedValues {
 public:
  // Adds the items with low <= value <= high. Cost: a step a word of `items`, a step
  // for each match in the buckets of the two ends.
  void AddItems(double low, double high, IdBitmap& items) const;
  // Their number. Cost: binary searches only.
  int64_t Count(double low, double high) const;

 private:
  friend class RangeColumn;

  using Bucket = std::vector<ValueOfItem>;  // ascending

  size_t num_buckets() const { return buckets_.size(); }
  // The bucket of a value; num_buckets() for NaN, which is no value.
  size_t BucketOf(double value) const;
  // The part of a bucket within [low, high].
  absl::Span<const ValueOfItem> Within(size_t bucket, double low, double high) const;
  void CountBuckets();

  // Bucket b holds the values v with borders_[b - 1] <= v < borders_[b].
  std::vector<double> borders_;
  // Shared with other states: a change copies only what it touches.
  std::vector<std::shared_ptr<const Bucket>> buckets_;
  std::vector<std::shared_ptr<const IdBitmap>> below_;  // [b]: items of buckets < b
  std::vector<int64_t> num_below_;
};

// Concurrency: Snapshot from any thread, it waits for a pointer to be copied; Set and
// Grow one at a time. Memory: 24 bytes an item and up to 66 bits for the borders.
class RangeColumn {
 public:
  // One value an item; NaN for none: the item is in no range.
  explicit RangeColumn(absl::Span<const double> values);

  std::shared_ptr<const SortedValues> Snapshot() const;

  // Replaces the values of some items; each id there once and an item of the column.
  // Snapshots see all of it or nothing. Cost: copies of the buckets that are touched
  // (about a 32nd of the items each) and of the borders that are crossed; a bucket
  // that has grown by far makes all of them anew.
  void Set(absl::Span<const int64_t> ids, absl::Span<const double> values);

  // Adds items without a value up to `num_items`.
  void Grow(int64_t num_items);

 private:
  struct Move {
    uint32_t id;
    double from, to;
  };

  std::shared_ptr<const SortedValues> Built() const;
  std::shared_ptr<const SortedValues> Moved(const SortedValues& old,
                                            absl::Span<const Move> moves) const;
  bool IsLopsided(const SortedValues& values) const;
  void Publish(std::shared_ptr<const SortedValues> next);

  std::vector<double> values_;  // of the writer: what Set takes out of the buckets

  mutable std::mutex mutex_;
  std::shared_ptr<const SortedValues> snapshot_;  // guarded by mutex_
};

}  // namespace stepwell::index

#endif  // STEPWELL_CC_INDEX_RANGE_COLUMN_H_
