#include "cc/kernels/candidates/own_items.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace stepwell::kernels {
namespace {

constexpr double kDaySeconds = 86'400.0;
constexpr float kHalfLifeDays = 30.0f;
constexpr float kLeastRecent = 1e-3f;

// Of one category of a history.
struct Sums {
  double recent = 0.0;
  double count = 0.0;
  double value = 0.0;
  double num_items = 0.0;
  float idle_days = 0.0f;
};

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
  // The bits of numbers from 0 on are in their order; inverted, the largest comes
  // first. The place breaks ties.
  std::vector<uint64_t> keys(items_.size());
  for (size_t i = 0; i < items_.size(); ++i) {
    keys[i] = uint64_t{~std::bit_cast<uint32_t>(items_[i].recent)} << 32 | i;
  }
  std::sort(keys.begin(), keys.end());
  float rank = 0.0f;
  for (const uint64_t key : keys) items_[static_cast<uint32_t>(key)].rank = rank++;
}

OwnCategories::OwnCategories(const OwnItems& own, const ItemLines& items,
                             int64_t affinity)
    : places_(static_cast<int64_t>(own.items().size())) {
  std::vector<Sums> all;
  all.reserve(own.items().size());
  for (const OwnItem& item : own.items()) {
    const int32_t code = items.AffinityCodes(item.row)[affinity];
    const auto next = static_cast<int32_t>(all.size());
    const int32_t place = places_.FindOrAdd(code, next);
    // The first is the most recent one.
    if (place == next) all.push_back({.idle_days = item.idle_days});
    Sums& sums = all[static_cast<size_t>(place)];
    sums.recent += item.recent;
    sums.count += item.count;
    sums.value += item.value;
    sums.num_items += 1.0;
  }
  categories_.reserve(all.size());
  const float per_total = 1.0f / own.total_recent();
  for (const Sums& sums : all) {
    const auto recent = static_cast<float>(sums.recent);
    const auto count = static_cast<float>(sums.count);
    const auto num_items = static_cast<float>(sums.num_items);
    const float per_event = 1.0f / std::max(count, 1.0f);
    const float usual_price = static_cast<float>(sums.value) * per_event;
    categories_.push_back({.recent = recent,
                           .num_items = num_items,
                           .count = count,
                           .idle_days = sums.idle_days,
                           .per_recent = 1.0f / std::max(recent, kLeastRecent),
                           .variety = num_items * per_event,
                           .user_share = recent * per_total,
                           .log_usual_price = std::log(usual_price + kPriceOffset)});
  }
}

}  // namespace stepwell::kernels
