#include "cc/front/admission_queue.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace stepwell::front {
namespace {

constexpr int kLowest = kNumPriorities - 1;

// A wait that is asked to be longer is one for ever.
constexpr int64_t kLongestWaitUs = int64_t{1} << 50;

Applicant ApplicantOf(const Call& call, int64_t now_us) {
  return {.priority = call.priority(),
          .age_us = now_us - call.arrived_us(),
          .deadline_us = call.deadline_us() - call.arrived_us(),
          .forced = call.is_forced()};
}

}  // namespace

AdmissionQueue::AdmissionQueue(int64_t max_size, const Clock& clock)
    : clock_(clock), admission_(clock.NowNanos() / 1'000), max_size_(max_size) {}

void AdmissionQueue::SetTerms(const AdmissionTerms& terms) {
  const std::lock_guard lock(mutex_);
  admission_.SetTerms(terms);
}

void AdmissionQueue::SetMaxSize(int64_t max_size) {
  const std::lock_guard lock(mutex_);
  max_size_ = max_size;
}

std::optional<Refusal> AdmissionQueue::Offer(std::shared_ptr<Call> call) {
  std::optional<Refusal> refusal;
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return Refusal{.call = std::move(call), .why = Refusal::kClosed};
    const int64_t now_us = NowUs();
    const int priority = call->priority();
    if (!admission_.Admits(ApplicantOf(*call, now_us), SizeUpTo(priority), now_us)) {
      return Refused(std::move(call));
    }
    const uint64_t key_hash = call->key_hash();
    lanes_[priority].push_back({std::move(call), key_hash});
    if (SizeUpTo(kLowest) > max_size_) refusal = Displace();
  }
  changed_.notify_one();
  return refusal;
}

std::shared_ptr<Call> AdmissionQueue::Take(int64_t timeout_us) {
  std::unique_lock lock(mutex_);
  std::shared_ptr<Call> call;
  const auto is_over = [&] { return (call = Pop()) != nullptr || closed_; };
  if (timeout_us > kLongestWaitUs) {
    changed_.wait(lock, is_over);
  } else {
    changed_.wait_for(lock, std::chrono::microseconds(timeout_us), is_over);
  }
  return call;
}

std::shared_ptr<Call> AdmissionQueue::TryTake() {
  const std::lock_guard lock(mutex_);
  return Pop();
}

bool AdmissionQueue::Abandon(const Call& call) {
  const std::lock_guard lock(mutex_);
  Lane& lane = lanes_[call.priority()];
  const auto place =
      std::find_if(lane.begin(), lane.end(),
                   [&](const Waiting& waiting) { return waiting.call.get() == &call; });
  if (place == lane.end()) return false;
  lane.erase(place);
  return true;
}

void AdmissionQueue::Left(int priority, bool idle) {
  const std::lock_guard lock(mutex_);
  admission_.Left(priority, idle, NowUs());
}

int64_t AdmissionQueue::NumAhead(int priority) const {
  const std::lock_guard lock(mutex_);
  return SizeUpTo(priority);
}

std::array<int64_t, kNumPriorities> AdmissionQueue::Lengths() const {
  const std::lock_guard lock(mutex_);
  std::array<int64_t, kNumPriorities> lengths{};
  for (int i = 0; i < kNumPriorities; ++i) lengths[i] = std::ssize(lanes_[i]);
  return lengths;
}

int64_t AdmissionQueue::OldestAgeUs() const {
  const std::lock_guard lock(mutex_);
  const int64_t now_us = NowUs();
  int64_t age_us = 0;
  for (const Lane& lane : lanes_) {
    if (!lane.empty()) {
      age_us = std::max(age_us, now_us - lane.front().call->arrived_us());
    }
  }
  return age_us;
}

void AdmissionQueue::Close() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  changed_.notify_all();
}

int64_t AdmissionQueue::SizeUpTo(int priority) const {
  int64_t size = 0;
  for (int i = 0; i <= priority; ++i) size += std::ssize(lanes_[i]);
  return size;
}

std::optional<Refusal> AdmissionQueue::Displace() {
  int priority = kLowest;
  while (lanes_[priority].empty()) --priority;
  Lane& lane = lanes_[priority];
  // Among equal hashes the newest.
  auto place = lane.begin();
  for (auto it = lane.begin(); it != lane.end(); ++it) {
    if (it->key_hash >= place->key_hash) place = it;
  }
  std::shared_ptr<Call> call = std::move(place->call);
  lane.erase(place);
  return Refused(std::move(call));
}

std::optional<Refusal> AdmissionQueue::Refused(std::shared_ptr<Call> call) {
  if (call->is_cancelled()) return std::nullopt;
  const int64_t now_us = NowUs();
  const int64_t num_ahead = SizeUpTo(call->priority());
  const int64_t left_us = call->deadline_us() - now_us;
  // What it has waited already is ahead of its next attempt as well.
  const int64_t waited_ms = (now_us - call->arrived_us()) / 1'000;
  const bool too_late = num_ahead == 0 && left_us < kAnyAnswerUs;
  return Refusal{.call = std::move(call),
                 .why = too_late ? Refusal::kTooLate : Refusal::kOverload,
                 .num_ahead = num_ahead,
                 .pushback_ms = std::max(admission_.PushbackMs(num_ahead), waited_ms),
                 .left_us = left_us};
}

std::shared_ptr<Call> AdmissionQueue::Pop() {
  for (Lane& lane : lanes_) {
    while (!lane.empty()) {
      std::shared_ptr<Call> call = std::move(lane.front().call);
      lane.pop_front();
      if (!call->is_cancelled()) return call;
    }
  }
  return nullptr;
}

}  // namespace stepwell::front
