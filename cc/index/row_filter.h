// Which rows of a FlatIndex one search may return.
#ifndef STEPWELL_CC_INDEX_ROW_FILTER_H_
#define STEPWELL_CC_INDEX_ROW_FILTER_H_

#include <cstdint>

#include "cc/index/ann_index.h"
#include "cc/index/id_bitmap.h"
#include "cc/index/label_map.h"

namespace stepwell::index {

// The call's exclusions and its allowed set as one test of a row.
//
// Made once a call: each excluded id is looked up and gets a bit. The test reads that
// bit, and where there is an allowed set the row's id and a second bit. Concurrency:
// immutable once made; borrows `labels` and `options.allowed`.
class RowFilter {
 public:
  RowFilter(const LabelMap& labels, const SearchOptions& options)
      : labels_(labels), allowed_(options.allowed) {
    for (int64_t id : options.exclude_ids) Exclude(labels.Find(id));
  }

  // True when every row may be returned: then no row needs a test.
  bool passes_all() const { return excluded_.num_bits() == 0 && allowed_ == nullptr; }

  bool operator()(uint32_t row) const {
    return !excluded_.Test(row) &&
           (allowed_ == nullptr || allowed_->Test(labels_.label(row)));
  }

 private:
  void Exclude(int64_t row) {
    if (row == LabelMap::kNoRow) return;
    if (excluded_.num_bits() == 0) excluded_.Resize(labels_.size());
    excluded_.Set(row);
  }

  const LabelMap& labels_;
  const IdBitmap* allowed_;
  IdBitmap excluded_;  // no bits at all where nothing is excluded
};

}  // namespace stepwell::index

#endif  // STEPWELL_CC_INDEX_ROW_FILTER_H_
