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

// Copies a handful; a call of the library takes longer than the copy. The memories do
// not overlap.
float* CopyFloats(const float* __restrict from, int64_t size, float* __restrict out) {
  constexpr int64_t kStep = 4;
  int64_t i = 0;
  for (; i + kStep <= size; i += kStep) {
    std::memcpy(out + i, from + i, kStep * sizeof(float));
    // Keeps the compiler from making the loop a call again.
    asm volatile("" ::: "memory");
  }
  for (; i < size; ++i) {
    out[i] = from[i];
    asm volatile("" ::: "memory");
  }
  return out + size;
}

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
  std::vector<float> stored_user;  // flags, then numbers
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
  out = CopyFloats(items.Numbers(row), size, out);
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
  const float* scores = candidates.scores + place * candidates.stride;
  const int16_t* ranks = candidates.ranks + place * candidates.stride;
  for (int64_t source = 0; source < size; ++source) *out++ = scores[source];
  for (int64_t source = 0; source < size; ++source) {
    *out++ = ranks[source] < 0 ? request.defaults.absent_rank
                               : static_cast<float>(ranks[source]);
  }
  return out;
}

float* WriteAffinity(const Request& request, int64_t row, int64_t affinity,
                     float own_recent, float* out) {
  static constexpr OwnCategories::Category kNothing;
  const ItemLines& items = request.items;
  const OwnCategories::Category* found =
      request.categories[static_cast<size_t>(affinity)].Find(
          items.AffinityCodes(row)[affinity]);
  const float far = request.defaults.far_days;
  const OwnCategories::Category& own = found == nullptr ? kNothing : *found;
  *out++ = own.recent;
  *out++ = own.num_items;
  *out++ = own.count;
  *out++ = found == nullptr ? far : std::min(own.idle_days, far);
  *out++ = own_recent * own.per_recent;
  *out++ = own.variety;
  *out++ = own.user_share;
  *out++ = own.count > 0.0f
               ? static_cast<float>(items.LogPrice(row) - own.log_usual_price)
               : 0.0f;
  *out++ = items.AffinityShares(row)[affinity];
  return out;
}

std::vector<float> StoredUser(const StoredColumns& columns, const StoredRows& stored,
                              int64_t now) {
  std::vector<float> values(static_cast<size_t>(columns.size() - columns.item.size()));
  for (int64_t flag = 0; flag < columns.num_flags; ++flag) {
    values[static_cast<size_t>(flag)] = static_cast<float>(stored.flags >> flag & 1u);
  }
  columns.user.Write(stored.user, now, values.data() + columns.num_flags);
  std::copy_n(stored.request, columns.num_request, values.end() - columns.num_request);
  return values;
}

Request Prepared(const FeatureSpec& spec, const FeatureHistory& history, int64_t now,
                 const StoredRows& stored) {
  Request request{spec.items,
                  spec.defaults,
                  history,
                  now,
                  OwnItems(history, now),
                  {},
                  {},
                  StoredUser(spec.stored, stored, now)};
  for (int64_t affinity = 0; affinity < spec.items.num_affinities(); ++affinity) {
    request.categories.emplace_back(request.own, spec.items, affinity);
  }
  request.user = UserFeatures(history, now, request.own.total_recent(), spec.defaults);
  return request;
}

// Writes the numbers of the items' rows into the last columns of dense.
void WriteStoredOfItems(const StoredColumns& columns, const StoredRows& stored,
                        const FeatureCandidates& candidates, int64_t now,
                        int64_t num_features, float* dense) {
  float* out = dense + num_features - columns.item.size();
  if (stored.items == nullptr) {
    for (int64_t i = 0; i < candidates.num_rows; ++i) {
      std::fill_n(out + i * num_features, columns.item.size(), 0.0f);
    }
    return;
  }
  columns.item.WriteRows(stored.items, candidates.rows, candidates.num_rows, now, out,
                         num_features);
}

}  // namespace

int64_t NumDenseFeatures(const ItemLines& items, const StoredColumns& stored,
                         int64_t num_sources) {
  return kUserFeatures + kOwnFeatures + items.num_numbers() +
         kItemFeaturesBesideNumbers + 2 * num_sources +
         kAffinityFeatures * items.num_affinities() + stored.size();
}

void ComputeFeatures(const FeatureSpec& spec, const FeatureHistory& history,
                     int64_t now, int64_t segment_row, const StoredRows& stored,
                     const FeatureCandidates& candidates, float* dense,
                     int64_t* sparse) {
  const ItemLines& items = spec.items;
  for (int64_t i = 0; i < history.times.num_items; ++i) {
    if (history.rows[i] >= 0) items.Prefetch(history.rows[i]);
  }
  const Request request = Prepared(spec, history, now, stored);
  if (spec.stored.item.size() > 0) {
    WriteStoredOfItems(spec.stored, stored, candidates, now,
                       NumDenseFeatures(items, spec.stored, candidates.num_sources),
                       dense);
  }
  const double log_usual_price = std::log(request.own.mean_value() + 0.1);
  for (int64_t i = 0; i < candidates.num_rows; ++i) {
    const int64_t ahead = i + kRowsAhead;
    if (ahead < candidates.num_rows) items.Prefetch(candidates.rows[ahead]);
    const int64_t row = candidates.rows[i];
    dense = std::copy(request.user.begin(), request.user.end(), dense);
    const OwnItem* own = request.own.Find(row);
    const float own_recent =
        own == nullptr ? spec.defaults.own[kOwnRecent] : own->recent;
    dense = WriteOwn(request, own, dense);
    dense = WriteItem(request, row, log_usual_price, dense);
    dense = WriteSources(request, candidates, i, dense);
    for (int64_t affinity = 0; affinity < items.num_affinities(); ++affinity) {
      dense = WriteAffinity(request, row, affinity, own_recent, dense);
    }
    dense = CopyFloats(request.stored_user.data(),
                       static_cast<int64_t>(request.stored_user.size()), dense);
    dense += spec.stored.item.size();
    const int32_t* codes = items.EmbeddedCodes(row);
    sparse = std::copy(codes, codes + items.num_embedded(), sparse);
    *sparse++ = segment_row;
  }
}

}  // namespace stepwell::kernels
