#include "cc/front/admission.h"

#include <algorithm>

#include "cc/base/field_error.h"
#include "cc/base/status_macros.h"

namespace stepwell::front {
namespace {

// Long enough for every budget, and no product of two terms overflows.
constexpr int64_t kLongestUs = 600'000'000;
constexpr int64_t kMostWorkers = 1024;

}  // namespace

absl::Status CheckTerms(const AdmissionTerms& terms) {
  STEPWELL_RETURN_IF_ERROR(CheckRange("budget_us", terms.budget_us, 1, kLongestUs));
  STEPWELL_RETURN_IF_ERROR(
      CheckRange("popular_mean_us", terms.popular_mean_us, 0, kLongestUs));
  STEPWELL_RETURN_IF_ERROR(
      CheckRange("popular_p95_us", terms.popular_p95_us, 0, kLongestUs));
  STEPWELL_RETURN_IF_ERROR(CheckRange("pace_us", terms.pace_us, 0, kLongestUs));
  STEPWELL_RETURN_IF_ERROR(
      CheckRange("parallelism", terms.parallelism, 1, kMostWorkers));
  STEPWELL_RETURN_IF_ERROR(CheckRange("batch_size", terms.batch_size, 1, kMostWorkers));
  return CheckRange("standing_us", terms.standing_us, 0, kLongestUs);
}

bool Admission::Admits(const Applicant& applicant, int64_t num_ahead, int64_t now_us) {
  const int64_t budget_us = std::min(terms_.budget_us, applicant.deadline_us);
  const int64_t backlog_us = BacklogUs(num_ahead);
  const int64_t wait_us =
      applicant.age_us + std::max(num_ahead * terms_.pace_us, backlog_us);
  const bool calm = wait_us * kCalmPart <= budget_us;
  const int64_t standing_us = Seen(applicant.priority, calm, now_us);
  if (applicant.age_us + terms_.popular_p95_us + backlog_us > applicant.deadline_us) {
    return false;
  }
  const bool stands = !terms_.can_step_down && standing_us >= terms_.standing_us;
  if (applicant.forced || !stands) return true;
  return wait_us + terms_.popular_p95_us <= budget_us / kStandingPart;
}

int64_t Admission::PushbackMs(int64_t num_ahead) const {
  const int64_t each_us =
      std::max(terms_.popular_mean_us / terms_.parallelism, terms_.pace_us);
  return std::max<int64_t>(1, num_ahead * each_us / 1000);
}

int64_t Admission::Seen(int priority, bool idle, int64_t now_us) {
  const int64_t gap_us = std::min(now_us - seen_us_, kLongestGapUs);
  seen_us_ = now_us;
  for (int place = 0; place < kNumPriorities; ++place) {
    int64_t& standing_us = standing_us_[place];
    const bool calm = idle && place <= priority;
    standing_us = calm ? std::max<int64_t>(0, standing_us - kCalmSpeed * gap_us)
                       : std::min(2 * terms_.standing_us, standing_us + gap_us);
  }
  return standing_us_[priority];
}

int64_t Admission::BacklogUs(int64_t num_ahead) const {
  const int64_t num_batches = (num_ahead + terms_.batch_size - 1) / terms_.batch_size;
  return num_batches * terms_.popular_mean_us / terms_.parallelism;
}

}  // namespace stepwell::front
