// The bounded queue before the workers: it is ours, so its age and order are seen.
#ifndef STEPWELL_CC_FRONT_ADMISSION_QUEUE_H_
#define STEPWELL_CC_FRONT_ADMISSION_QUEUE_H_

#include <array>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>

#include "cc/base/clock.h"
#include "cc/front/admission.h"
#include "cc/front/call.h"
#include "cc/front/refusal.h"

namespace stepwell::front {

// A deadline that leaves less is the caller's own doing: any answer takes about so
// long.
inline constexpr int64_t kAnyAnswerUs = 300;

inline constexpr int64_t kForEver = std::numeric_limits<int64_t>::max();

// First by priority, then by arrival; the newcomer passes Admission first.
//
// Concurrency: thread-safe. One thread offers and abandons, any number takes.
// Cost: `Offer` and `TryTake` about 0.1 us; `Abandon`, and `Offer` to a full queue, go
// over one lane, about 1 ns a waiting call.
class AdmissionQueue {
 public:
  // max_size: calls that may wait, >= 1. The clock must outlive the queue; its time is
  // that of Call::arrived_us.
  explicit AdmissionQueue(int64_t max_size, const Clock& clock = Clock::Steady());

  // Terms in range (CheckTerms); they count from the next newcomer on.
  void SetTerms(const AdmissionTerms& terms);

  // When it gets smaller those who wait stay.
  void SetMaxSize(int64_t max_size);

  // Puts the call in. Who has no place is given back and forgotten: the newcomer, or
  // one that it displaced. When full the lowest priority gives way, and within it the
  // highest hash of the key, so that under lasting pressure the same users are served
  // well. nullopt: nobody is to be told anything.
  std::optional<Refusal> Offer(std::shared_ptr<Call> call);

  // Waits for the next call; nullptr after the timeout, or once closed and empty.
  // Cancelled ones are passed over.
  std::shared_ptr<Call> Take(int64_t timeout_us = kForEver);

  // The same without waiting.
  std::shared_ptr<Call> TryTake();

  // The caller has gone: it is ahead of nobody any more. True when it was waiting.
  bool Abandon(const Call& call);

  // Notes that a call which was taken is decided; `idle`: it was young and nobody
  // waited behind it.
  void Left(int priority, bool idle);

  // Calls that would be taken before a new one of this priority.
  int64_t NumAhead(int priority) const;

  // Waiting calls by priority.
  std::array<int64_t, kNumPriorities> Lengths() const;

  // Of the call that has waited longest; 0 when empty.
  int64_t OldestAgeUs() const;

  // Takes nothing more in and wakes all who wait; what waits is still handed out.
  void Close();

 private:
  struct Waiting {
    std::shared_ptr<Call> call;
    uint64_t key_hash;  // here, for a full queue is searched at every newcomer
  };
  using Lane = std::deque<Waiting>;

  int64_t NowUs() const { return clock_.NowNanos() / 1'000; }
  // All of these hold the lock.
  int64_t SizeUpTo(int priority) const;
  std::optional<Refusal> Displace();
  std::optional<Refusal> Refused(std::shared_ptr<Call> call);
  std::shared_ptr<Call> Pop();

  const Clock& clock_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::array<Lane, kNumPriorities> lanes_;
  Admission admission_;
  int64_t max_size_;
  bool closed_ = false;
};

}  // namespace stepwell::front

#endif  // STEPWELL_CC_FRONT_ADMISSION_QUEUE_H_
