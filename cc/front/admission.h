// Who may enter the queue: the rule alone, for the server and for the simulator.
#ifndef STEPWELL_CC_FRONT_ADMISSION_H_
#define STEPWELL_CC_FRONT_ADMISSION_H_

#include <array>
#include <cstdint>

#include "absl/status/status.h"

namespace stepwell::front {

// 0 goes first: a person waits, will probably ask soon, nobody waits.
inline constexpr int kNumPriorities = 3;

// Of the time between two requests no more counts as time at work: a pause of the
// process is no standing queue, what piled up meanwhile drains at once.
inline constexpr int64_t kLongestGapUs = 5000;

// Waiting for one part in so many of a request's budget is no waiting.
inline constexpr int64_t kCalmPart = 8;

// A queue that stands is waited in for at most one part in so many of the budget: what
// delays a worker for some milliseconds then makes nobody late, and it is still long
// enough never to run empty.
inline constexpr int kStandingPart = 2;

// Calm takes back so many times as much as the same time of waiting has added: one
// request that finds nobody ahead does not end a flood.
inline constexpr int kCalmSpeed = 4;

// What the ladder knows and admission needs; all times in microseconds.
struct AdmissionTerms {
  // The time that a request should take from arrival to answer.
  int64_t budget_us = 100'000;
  // What an answer at the lowest tier takes of a worker.
  int64_t popular_mean_us = 300;
  int64_t popular_p95_us = 500;
  // Measured time between two that leave a waiting queue for that tier; 0: unknown.
  int64_t pace_us = 0;
  // Workers, and the requests that each answers at once.
  int64_t parallelism = 1;
  int64_t batch_size = 1;
  // A queue that has been waited in for so long stands.
  int64_t standing_us = 100'000;
  // Those who wait can still be served at a lower tier than is usual now: nobody is
  // refused for a queue that stands.
  bool can_step_down = false;
};

// OK, or a FieldError of the first term out of range.
absl::Status CheckTerms(const AdmissionTerms& terms);

// A request that asks to enter.
struct Applicant {
  int priority = 0;
  // Since it arrived.
  int64_t age_us = 0;
  // From its arrival to its deadline.
  int64_t deadline_us = 0;
  // It asks for one tier: it may take all of its deadline for it.
  bool forced = false;
};

// Refuses whom not even the lowest tier would answer before the deadline. Once waiting
// has become a standing thing, also whom it would answer in the second half of the
// budget or after it: to let that queue grow on makes every answer late and serves
// nobody more. One that swells with a burst will drain.
//
// Terms must be in range (CheckTerms); priorities in [0, kNumPriorities).
// Concurrency: none; its owner locks. Time comes with every call and never runs back.
// Cost: about 10 ns a call, no allocation.
// Source: the distinction is CoDel's (Nichols and Jacobson, ACM Queue 2012), by calm in
// place of the lowest delay.
class Admission {
 public:
  explicit Admission(int64_t now_us) : seen_us_(now_us) {}

  void SetTerms(const AdmissionTerms& terms) { terms_ = terms; }
  const AdmissionTerms& terms() const { return terms_; }

  // Whether a request may enter behind `num_ahead` others.
  bool Admits(const Applicant& applicant, int64_t num_ahead, int64_t now_us);

  // Notes a request that leaves the queue; `idle`: it was young and nobody waited
  // behind it.
  void Left(int priority, bool idle, int64_t now_us) { Seen(priority, idle, now_us); }

  // After how long a refused one should come back: what the queue takes at the lowest
  // tier, at least 1 ms.
  int64_t PushbackMs(int64_t num_ahead) const;

 private:
  // For how long a new one of this priority has had to wait, less what was calm since;
  // at most twice what makes a queue stand. Nobody ahead of a prefetch means nobody
  // ahead of a person.
  int64_t Seen(int priority, bool idle, int64_t now_us);
  int64_t BacklogUs(int64_t num_ahead) const;

  AdmissionTerms terms_;
  // By priority, microseconds.
  std::array<int64_t, kNumPriorities> standing_us_{};
  int64_t seen_us_;
};

}  // namespace stepwell::front

#endif  // STEPWELL_CC_FRONT_ADMISSION_H_
