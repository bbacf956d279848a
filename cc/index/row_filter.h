// Which rows one search may return.
#ifndef STEPWELL_CC_INDEX_ROW_FILTER_H_
#define STEPWELL_CC_INDEX_ROW_FILTER_H_

#include <cstdint>

#include "cc/index/ann_index.h"
#include "cc/index/id_bitmap.h"
#include "cc/index/label_map.h"

namespace stepwell::index {

// Tombstones, the call's exclusions and its allowed set as one test of a row.
//
// Made once a call: N / 8 bytes are copied and each excluded id is looked up.
// The test itself reads a bit, and where there is an allowed set the row's id
// and a second bit. Concurrency: immutable once made; borrows `labels` and
// `options.allowed`.
class RowFilter {
 public:
  RowFilter(const LabelMap& labels, const SearchOptions& options,
            const IdBitmap& deleted_rows, int64_t num_deleted)
      : labels_(labels), allowed_(options.allowed) {
    if (num_deleted > 0) blocked_ = deleted_rows;
    has_blocked_ = num_deleted > 0;
    for (int64_t id : options.exclude_ids) Block(labels.Find(id));
  }

  // True when every row may be returned: then no row needs a test.
  bool passes_all() const { return !has_blocked_ && allowed_ == nullptr; }

  bool operator()(uint32_t row) const {
    if (has_blocked_ && blocked_.Test(row)) return false;
    return allowed_ == nullptr || allowed_->Test(labels_.label(row));
  }

 private:
  void Block(int64_t row) {
    if (row == LabelMap::kNoRow) return;
    if (blocked_.num_bits() < labels_.size()) blocked_.Resize(labels_.size());
    blocked_.Set(row);
    has_blocked_ = true;
  }

  const LabelMap& labels_;
  const IdBitmap* allowed_;
  IdBitmap blocked_;
  bool has_blocked_ = false;
};

}  // namespace stepwell::index

#endif  // STEPWELL_CC_INDEX_ROW_FILTER_H_
