#include "cc/event_log/pending_queue.h"

#include <chrono>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"

namespace stepwell::event_log {
namespace {

int64_t BytesOf(const Batch& batch) {
  size_t num_bytes = 0;
  for (const Record& record : batch) {
    num_bytes += record.id.size() + record.payload.size();
  }
  return static_cast<int64_t>(num_bytes);
}

}  // namespace

absl::Status PendingQueue::Push(Pending* pending) {
  const auto num_events = static_cast<int64_t>(pending->batch.size());
  const int64_t num_bytes = BytesOf(pending->batch);
  const bool posted = pending->is_posted();
  bool wakes;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    STEPWELL_RETURN_IF_ERROR(CheckRoom(num_events, num_bytes, posted));
    const bool was_empty = pending_.empty();
    pending_.push_back(std::move(*pending));
    num_events_ += num_events;
    num_bytes_ += num_bytes;
    if (!posted) ++num_awaited_;
    wakes = was_empty || !MayLinger();
  }
  if (wakes) changed_.notify_one();
  return absl::OkStatus();
}

std::vector<Pending> PendingQueue::TakeGroup() {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return !pending_.empty() || closed_; });
  if (MayLinger()) {
    changed_.wait_for(lock, std::chrono::microseconds(options_.linger_us),
                      [this] { return !MayLinger(); });
  }
  return TakeFront();
}

void PendingQueue::Close() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    closed_ = true;
  }
  changed_.notify_one();
}

absl::Status PendingQueue::CheckRoom(int64_t num_events, int64_t num_bytes,
                                     bool posted) const {
  if (closed_) return absl::FailedPreconditionError("the event log is closed");
  const int64_t share = posted ? 2 : 1;
  if (share * (num_events_ + num_events) <= options_.max_pending_events &&
      share * (num_bytes_ + num_bytes) <= options_.max_pending_bytes) {
    return absl::OkStatus();
  }
  return absl::ResourceExhaustedError(
      absl::StrCat(num_events_, " events (", num_bytes_,
                   " bytes) wait for the disk; the queue takes ",
                   options_.max_pending_events, " (", options_.max_pending_bytes, ")"));
}

bool PendingQueue::MayLinger() const {
  return !pending_.empty() && num_awaited_ == 0 && !closed_ &&
         num_events_ < options_.max_group_events;
}

std::vector<Pending> PendingQueue::TakeFront() {
  std::vector<Pending> group;
  if (num_events_ <= options_.max_group_events) {
    group.swap(pending_);
    num_events_ = num_bytes_ = num_awaited_ = 0;
    return group;
  }
  auto end = pending_.begin();
  int64_t room = options_.max_group_events;
  while (end != pending_.end()) {
    const auto num_events = static_cast<int64_t>(end->batch.size());
    if (end != pending_.begin() && num_events > room) break;
    room -= num_events;
    num_events_ -= num_events;
    num_bytes_ -= BytesOf(end->batch);
    if (!end->is_posted()) --num_awaited_;
    ++end;
  }
  group.assign(std::make_move_iterator(pending_.begin()), std::make_move_iterator(end));
  pending_.erase(pending_.begin(), end);
  return group;
}

}  // namespace stepwell::event_log
