#include "cc/kernels/candidates/history.h"

#include <algorithm>
#include <cmath>

namespace stepwell::kernels {
namespace {

constexpr double kDaySeconds = 86'400.0;
constexpr double kSingleIntervalDays = 60.0;
constexpr double kMinHalfLifeDays = 60.0;

}  // namespace

void AffinityWeights(const HistoryTimes& history, int64_t now, double half_life_seconds,
                     float* weights) {
  for (int64_t i = 0; i < history.num_items; ++i) {
    const double middle = (static_cast<double>(history.first_time[i]) +
                           static_cast<double>(history.last_time[i])) /
                          2.0;
    const double age = std::max(static_cast<double>(now) - middle, 0.0);
    const double decayed =
        history.num_purchases[i] * std::exp2(-age / half_life_seconds);
    weights[i] = static_cast<float>(std::sqrt(decayed));
  }
}

void RepeatScores(const HistoryTimes& history, int64_t now, float* scores) {
  for (int64_t i = 0; i < history.num_items; ++i) {
    const double count = history.num_purchases[i];
    const int64_t last = history.last_time[i];
    const double span_days =
        static_cast<double>(last - history.first_time[i]) / kDaySeconds;
    const bool repeated = count > 1.0;
    const double interval = repeated ? span_days / (count - 1.0) : kSingleIntervalDays;
    const double half_life = std::max(2.0 * interval, kMinHalfLifeDays);
    const double idle_days =
        static_cast<double>(std::max<int64_t>(now - last, 0)) / kDaySeconds;
    const double mean_age = idle_days + (repeated ? span_days / 2.0 : 0.0);
    scores[i] = static_cast<float>(count * std::exp2(-mean_age / half_life));
  }
}

}  // namespace stepwell::kernels
