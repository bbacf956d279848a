#include "cc/kernels/candidates/own_items.h"

#include <algorithm>
#include <cmath>

namespace stepwell::kernels {
namespace {

constexpr double kDaySeconds = 86'400.0;
constexpr float kHalfLifeDays = 30.0f;

// A late clock must not make an age negative.
float Days(int64_t seconds) {
  return static_cast<float>(static_cast<double>(std::max<int64_t>(seconds, 0)) /
                            kDaySeconds);
}

}  // namespace

OwnItems::OwnItems(const FeatureHistory& history, int64_t now)
    : places_(history.times.num_items) {
  items_.reserve(static_cast<size_t>(history.times.num_items));
  double recent = 0.0, value = 0.0, count = 0.0;
  for (int64_t i = 0; i < history.times.num_items; ++i) {
    if (history.rows[i] < 0) continue;
    OwnItem item{};
    item.row = history.rows[i];
    item.count = static_cast<float>(history.times.num_purchases[i]);
    item.at_last = history.decayed_count[i];
    item.idle_days = Days(now - history.times.last_time[i]);
    item.age_days = Days(now - history.times.first_time[i]);
    item.recent = item.at_last * std::exp2(-item.idle_days / kHalfLifeDays);
    item.value = history.total_value[i];
    recent += item.recent;
    value += item.value;
    count += item.count;
    places_.FindOrAdd(item.row, static_cast<int32_t>(items_.size()));
    items_.push_back(item);
  }
  total_recent_ = std::max(static_cast<float>(recent), 1e-3f);
  mean_value_ = value / std::max(count, 1.0);
  Rank();
}

void OwnItems::Rank() {
  std::vector<OwnItem*> by_recent;
  by_recent.reserve(items_.size());
  for (OwnItem& item : items_) by_recent.push_back(&item);
  // By address where equal: the order in which they stand.
  std::sort(by_recent.begin(), by_recent.end(), [](const OwnItem* a, const OwnItem* b) {
    return a->recent != b->recent ? a->recent > b->recent : a < b;
  });
  float rank = 0.0f;
  for (OwnItem* item : by_recent) item->rank = rank++;
}

OwnCategories::OwnCategories(const OwnItems& own, const ItemLines& items,
                             int64_t affinity)
    : places_(static_cast<int64_t>(own.items().size())) {
  sums_.reserve(own.items().size());
  for (const OwnItem& item : own.items()) {
    const int32_t code = items.AffinityCodes(item.row)[affinity];
    const auto next = static_cast<int32_t>(sums_.size());
    const int32_t place = places_.FindOrAdd(code, next);
    if (place == next) {
      // The first is the most recent one.
      sums_.push_back({.idle_days = item.idle_days});
    }
    Sums& sums = sums_[static_cast<size_t>(place)];
    sums.recent += item.recent;
    sums.count += item.count;
    sums.value += item.value;
    sums.num_items += 1.0;
  }
  for (Sums& sums : sums_) {
    const double usual = sums.value / std::max(sums.count, 1.0);
    sums.log_usual_price = std::log(usual + 0.1);
  }
}

}  // namespace stepwell::kernels
