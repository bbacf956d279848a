// Which items carry which tags.
#ifndef STEPWELL_CC_INDEX_TAG_COLUMN_H_
#define STEPWELL_CC_INDEX_TAG_COLUMN_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/types/span.h"
#include "cc/index/id_bitmap.h"

namespace stepwell::index {

// Tags of items in the compressed form of rows: item i has tags[offsets[i]] ..
// tags[offsets[i + 1] - 1], any order, repetitions count once.
struct TagLists {
  absl::Span<const int64_t> offsets;  // [items + 1], ascending from 0
  absl::Span<const uint32_t> tags;
};

// The items of one tag: ascending ids where they are few, bits where they are many.
struct Posting {
  std::vector<uint32_t> ids;
  IdBitmap bits;  // used when not empty
  int64_t count = 0;
};

// One state of a column. Immutable.
class TagPostings {
 public:
  // Adds the items that carry one of the tags.
  void AddItems(absl::Span<const uint32_t> tags, IdBitmap& items) const;
  // Their number, an item that carries two of the tags counted twice.
  int64_t Count(absl::Span<const uint32_t> tags) const;

 private:
  friend class TagColumn;

  // Shared with other states: a change copies only the postings it touches.
  absl::flat_hash_map<uint32_t, std::shared_ptr<const Posting>> postings_;
};

// Concurrency: Snapshot from any thread, it waits for a pointer to be copied; Set and
// Grow one at a time. Memory: 4 bytes a tag of an item twice over; a tag with more
// than a 32nd of the items takes a bit an item instead of the second 4 bytes.
class TagColumn {
 public:
  explicit TagColumn(const TagLists& lists);

  std::shared_ptr<const TagPostings> Snapshot() const;

  // Replaces the tags of some items, ids[i] by list i; each id there once and an item
  // of the column. Snapshots see all of it or nothing. Cost: a copy of the postings
  // that are touched, a pointer for every tag of the column.
  void Set(absl::Span<const int64_t> ids, const TagLists& lists);

  // Adds items without tags up to `num_items`.
  void Grow(int64_t num_items);

 private:
  struct Change {
    std::vector<uint32_t> added;
    std::vector<uint32_t> removed;
  };

  std::vector<uint32_t> TagsOf(int64_t id) const;
  std::shared_ptr<const Posting> Changed(const Posting* old, Change& change) const;
  void Publish(std::shared_ptr<const TagPostings> next);

  // Of the writer: what Set takes out of the postings.
  int64_t num_items_;
  std::vector<int64_t> offsets_;
  std::vector<uint32_t> tags_;
  absl::flat_hash_map<int64_t, std::vector<uint32_t>> replaced_;

  mutable std::mutex mutex_;
  std::shared_ptr<const TagPostings> snapshot_;  // guarded by mutex_
};

}  // namespace stepwell::index

#endif  // STEPWELL_CC_INDEX_TAG_COLUMN_H_
