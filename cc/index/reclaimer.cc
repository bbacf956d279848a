#include "cc/index/reclaimer.h"

#include <sys/resource.h>

#include <algorithm>
#include <utility>

namespace stepwell::index {
namespace {

// Searches go first where cores are few: a thread beside them costs each burst of its
// own to one search. Who writes faster than that leaves room for has to help, see
// HnswIndex::HelpToReclaim.
constexpr int kNiceness = 19;

// Lazy work takes at most one part in so many of a core's time.
constexpr int kShareOfTime = 20;

}  // namespace

Reclaimer::Reclaimer(Work work, std::chrono::nanoseconds rest)
    : work_(std::move(work)), rest_(rest), lazy_begin_(Clock::now() + rest) {}

Reclaimer::~Reclaimer() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  asked_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Reclaimer::RunSoon() {
  std::lock_guard lock(mutex_);
  Ask(Request::kSoon);
}

void Reclaimer::RunNow() {
  std::lock_guard lock(mutex_);
  Ask(Request::kNow);
}

int64_t Reclaimer::num_runs() const {
  std::lock_guard lock(mutex_);
  return num_ended_;
}

// Under mutex_.
void Reclaimer::Ask(Request request) {
  if (!thread_.joinable()) thread_ = std::thread([this] { Loop(); });
  if (request <= request_) return;
  request_ = request;
  asked_.notify_all();
}

void Reclaimer::Loop() {
  // Of this thread alone, as Linux has it. Without the right to do so all goes on.
  setpriority(PRIO_PROCESS, 0, kNiceness);
  std::unique_lock lock(mutex_);
  while (AwaitRequest(lock)) {
    request_ = Request::kNone;
    lock.unlock();
    const Clock::time_point begin = Clock::now();
    work_(stop_);
    const Clock::time_point end = Clock::now();
    lock.lock();
    lazy_begin_ = end + std::max<Clock::duration>(rest_, kShareOfTime * (end - begin));
    ++num_ended_;
  }
}

// False when it is time to stop.
bool Reclaimer::AwaitRequest(std::unique_lock<std::mutex>& lock) {
  asked_.wait(lock, [this] { return request_ != Request::kNone || stop_; });
  asked_.wait_until(lock, lazy_begin_,
                    [this] { return request_ == Request::kNow || stop_; });
  return !stop_;
}

}  // namespace stepwell::index
