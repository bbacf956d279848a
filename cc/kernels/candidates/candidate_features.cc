#include "cc/kernels/candidates/candidate_features.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "cc/kernels/candidates/own_items.h"

namespace stepwell::kernels {
namespace {

constexpr double kDaySeconds = 86'400.0;
constexpr int64_t kRowsAhead = 6;
// Weight of the item's mean interval beside the user's own.
constexpr float kPriorEvents = 1.0f;

double DaysBetween(int64_t start, int64_t end) {
  return static_cast<double>(end - start) / kDaySeconds;
}

// Everything of a request that its candidates share.
struct Request {
  const ItemLines& items;
  const FeatureDefaults& defaults;
  const FeatureHistory& history;
  int64_t now;
  OwnItems own;
  std::vector<OwnCategories> categories;
  std::array<float, kUserFeatures> user;
};

std::array<float, kUserFeatures> UserFeatures(const FeatureHistory& history,
                                              int64_t now, float total_recent,
                                              const FeatureDefaults& defaults) {
  if (history.num_events == 0) return defaults.user;
  const auto trips = static_cast<double>(std::max<int64_t>(history.num_trips, 1));
  const auto events = static_cast<double>(history.num_events);
  const auto num_items = static_cast<double>(history.times.num_items);
  const double span = std::max(DaysBetween(history.first_event_time, now), 1.0);
  const double idle = std::max(DaysBetween(history.last_event_time, now), 0.0);
  return {static_cast<float>(trips),
          static_cast<float>(trips / span * 7.0),
          static_cast<float>(num_items),
          static_cast<float>(events / trips),
          static_cast<float>(idle),
          static_cast<float>(num_items / events),
          total_recent,
          static_cast<float>(span)};
}

float* WriteOwn(const Request& request, const OwnItem* own, float* out) {
  if (own == nullptr) {
    std::copy(request.defaults.own.begin(), request.defaults.own.end(), out);
    return out + kOwnFeatures;
  }
  const float count = own->count, idle = own->idle_days, age = own->age_days;
  const float span = age - idle;
  const float prior = kPriorEvents * request.items.Interval(own->row);
  const float interval = (span + prior) / (count - 1.0f + kPriorEvents);
  const auto trips =
      static_cast<float>(std::max<int64_t>(request.history.num_trips, 1));
  *out++ = 1.0f;
  *out++ = count;
  *out++ = own->recent;
  *out++ = own->at_last;
  *out++ = own->at_last * std::exp2(-idle / 7.0f);
  *out++ = count * std::exp2(-(idle + span / 2.0f) / 90.0f);
  *out++ = idle;
  *out++ = age;
  *out++ = interval;
  *out++ = idle / std::max(interval, 1.0f);
  *out++ = count / std::max(age, 7.0f);
  *out++ = count / trips;
  *out++ = own->value / std::max(count, 1.0f);
  *out++ = own->recent / request.own.total_recent();
  *out++ = own->rank;
  return out;
}

float* WriteItem(const Request& request, int64_t row, double log_usual_price,
                 float* out) {
  const ItemLines& items = request.items;
  const int64_t size = items.num_numbers();
  std::memcpy(out, items.Numbers(row), static_cast<size_t>(size) * sizeof(float));
  out += size;
  *out++ =
      static_cast<float>(std::max(DaysBetween(items.FirstSeen(row), request.now), 0.0));
  *out++ =
      static_cast<float>(std::max(DaysBetween(items.LastSeen(row), request.now), 0.0));
  const bool known = !request.own.items().empty();
  *out++ = known ? static_cast<float>(items.LogPrice(row) - log_usual_price) : 0.0f;
  return out;
}

float* WriteSources(const Request& request, const FeatureCandidates& candidates,
                    int64_t place, float* out) {
  const int64_t size = candidates.num_sources;
  const float* scores = candidates.scores + place * size;
  const int16_t* ranks = candidates.ranks + place * size;
  for (int64_t source = 0; source < size; ++source) *out++ = scores[source];
  for (int64_t source = 0; source < size; ++source) {
    *out++ = ranks[source] < 0 ? request.defaults.absent_rank
                               : static_cast<float>(ranks[source]);
  }
  return out;
}

float* WriteAffinity(const Request& request, int64_t row, int64_t affinity,
                     float own_recent, float* out) {
  const ItemLines& items = request.items;
  const OwnCategories::Sums* sums =
      request.categories[static_cast<size_t>(affinity)].Find(
          items.AffinityCodes(row)[affinity]);
  const double recent = sums == nullptr ? 0.0 : sums->recent;
  const double num_items = sums == nullptr ? 0.0 : sums->num_items;
  const double count = sums == nullptr ? 0.0 : sums->count;
  const float far = request.defaults.far_days;
  *out++ = static_cast<float>(recent);
  *out++ = static_cast<float>(num_items);
  *out++ = static_cast<float>(count);
  *out++ = sums == nullptr ? far : std::min(sums->idle_days, far);
  *out++ = static_cast<float>(own_recent / std::max(recent, 1e-3));
  *out++ = static_cast<float>(num_items / std::max(count, 1.0));
  *out++ = static_cast<float>(recent / request.own.total_recent());
  *out++ = count > 0.0 ? static_cast<float>(items.LogPrice(row) - sums->log_usual_price)
                       : 0.0f;
  *out++ = items.AffinityShares(row)[affinity];
  return out;
}

Request Prepared(const ItemLines& items, const FeatureDefaults& defaults,
                 const FeatureHistory& history, int64_t now) {
  Request request{items, defaults, history, now, OwnItems(history, now), {}, {}};
  for (int64_t affinity = 0; affinity < items.num_affinities(); ++affinity) {
    request.categories.emplace_back(request.own, items, affinity);
  }
  request.user = UserFeatures(history, now, request.own.total_recent(), defaults);
  return request;
}

}  // namespace

int64_t NumDenseFeatures(const ItemLines& items, int64_t num_sources) {
  return kUserFeatures + kOwnFeatures + items.num_numbers() +
         kItemFeaturesBesideNumbers + 2 * num_sources +
         kAffinityFeatures * items.num_affinities();
}

void ComputeFeatures(const ItemLines& items, const FeatureDefaults& defaults,
                     const FeatureHistory& history, int64_t now, int64_t segment_row,
                     const FeatureCandidates& candidates, float* dense,
                     int64_t* sparse) {
  for (int64_t i = 0; i < history.times.num_items; ++i) {
    if (history.rows[i] >= 0) items.Prefetch(history.rows[i]);
  }
  const Request request = Prepared(items, defaults, history, now);
  const double log_usual_price = std::log(request.own.mean_value() + 0.1);
  for (int64_t i = 0; i < candidates.num_rows; ++i) {
    const int64_t ahead = i + kRowsAhead;
    if (ahead < candidates.num_rows) items.Prefetch(candidates.rows[ahead]);
    const int64_t row = candidates.rows[i];
    dense = std::copy(request.user.begin(), request.user.end(), dense);
    const OwnItem* own = request.own.Find(row);
    const float own_recent = own == nullptr ? defaults.own[kOwnRecent] : own->recent;
    dense = WriteOwn(request, own, dense);
    dense = WriteItem(request, row, log_usual_price, dense);
    dense = WriteSources(request, candidates, i, dense);
    for (int64_t affinity = 0; affinity < items.num_affinities(); ++affinity) {
      dense = WriteAffinity(request, row, affinity, own_recent, dense);
    }
    const int32_t* codes = items.EmbeddedCodes(row);
    sparse = std::copy(codes, codes + items.num_embedded(), sparse);
    *sparse++ = segment_row;
  }
}

}  // namespace stepwell::kernels
