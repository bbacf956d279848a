#ifndef CC_KERNELS_CANDIDATES_OWN_ITEMS_H_
#define CC_KERNELS_CANDIDATES_OWN_ITEMS_H_

#include <cstdint>
#include <vector>

#include "cc/kernels/candidates/candidate_features.h"
#include "cc/kernels/candidates/item_lines.h"
#include "cc/kernels/candidates/row_map.h"

namespace stepwell::kernels {

// One item of a history that the release knows, seen from one moment.
struct OwnItem {
  int64_t row;
  float count;
  float at_last;  // events decayed by 30 days to the last one
  float recent;   // the same decayed to now
  float idle_days;
  float age_days;
  float value;
  float rank = 0.0f;  // place by `recent`
};

// A user's known items, most recent first, and what several features share of them.
class OwnItems {
 public:
  OwnItems(const FeatureHistory& history, int64_t now);

  const std::vector<OwnItem>& items() const { return items_; }
  // Sum of `recent`, at least 0.001.
  float total_recent() const { return total_recent_; }
  // Mean value of an event on them, 0 without.
  double mean_value() const { return mean_value_; }

  // Returns the user's dealings with an item, null where there are none.
  const OwnItem* Find(int64_t row) const {
    const int32_t place = places_.Find(row);
    return place < 0 ? nullptr : &items_[static_cast<size_t>(place)];
  }

 private:
  void Rank();

  std::vector<OwnItem> items_;
  RowMap places_;
  float total_recent_ = 0.0f;
  double mean_value_ = 0.0;
};

// How much of a history lies in each value of one item column.
class OwnCategories {
 public:
  // What the candidates of one category share, as it enters their features: it is
  // asked for more often than there are categories.
  struct Category {
    float recent = 0.0f;
    float num_items = 0.0f;
    float count = 0.0f;
    float idle_days = 0.0f;
    float per_recent = 0.0f;       // 1 / recent, which counts as 0.001 at least
    float variety = 0.0f;          // items an event
    float user_share = 0.0f;       // of the recent events
    float log_usual_price = 0.0f;  // of the mean value of an event
  };

  // Of the column at `affinity` of the items' affinity columns.
  OwnCategories(const OwnItems& own, const ItemLines& items, int64_t affinity);

  // Returns null where nothing of the history has the code.
  const Category* Find(int32_t code) const {
    const int32_t place = places_.Find(code);
    return place < 0 ? nullptr : &categories_[static_cast<size_t>(place)];
  }

 private:
  std::vector<Category> categories_;
  RowMap places_;
};

}  // namespace stepwell::kernels

#endif  // CC_KERNELS_CANDIDATES_OWN_ITEMS_H_
