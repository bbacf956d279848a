#include "cc/event_log/done_board.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace stepwell::event_log {
namespace {

// A wait that is asked to be longer is one for ever.
constexpr int64_t kLongestWaitUs = int64_t{1} << 50;

}  // namespace

void DoneBoard::Post(std::vector<Pending> group,
                     absl::StatusOr<std::vector<Receipt>> receipts) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (size_t i = 0; i < group.size(); ++i) {
      if (receipts.ok()) {
        End(group[i], std::move((*receipts)[i]));
      } else {
        End(group[i], receipts.status());
      }
    }
  }
  appends_changed_.notify_all();
  dones_changed_.notify_all();
}

void DoneBoard::End(const Pending& pending, absl::StatusOr<Receipt> receipt) {
  if (pending.append != nullptr) {
    pending.append->receipt = std::move(receipt);
    pending.append->is_done = true;
  } else if (pending.ticket != 0) {
    dones_.push_back({.ticket = pending.ticket, .receipt = std::move(receipt)});
  } else {
    Count(static_cast<int64_t>(pending.batch.size()), receipt);
  }
}

void DoneBoard::Count(int64_t num_events, const absl::StatusOr<Receipt>& receipt) {
  if (receipt.ok()) {
    counts_.num_stored += receipt->num_stored;
    counts_.num_duplicates += num_events - receipt->num_stored;
  } else {
    counts_.num_lost += num_events;
    last_loss_ = std::string(receipt.status().message());
  }
}

absl::StatusOr<Receipt> DoneBoard::WaitFor(Append& append) {
  std::unique_lock<std::mutex> lock(mutex_);
  appends_changed_.wait(lock, [&append] { return append.is_done; });
  return std::move(append.receipt);
}

std::vector<Done> DoneBoard::Collect(int64_t timeout_us) {
  std::unique_lock<std::mutex> lock(mutex_);
  const auto is_over = [this] { return !dones_.empty() || closed_; };
  if (timeout_us > kLongestWaitUs) {
    dones_changed_.wait(lock, is_over);
  } else {
    dones_changed_.wait_for(lock, std::chrono::microseconds(timeout_us), is_over);
  }
  return std::exchange(dones_, {});
}

int64_t DoneBoard::num_uncollected() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return std::ssize(dones_);
}

PostCounts DoneBoard::counts() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return counts_;
}

std::string DoneBoard::last_loss() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return last_loss_;
}

void DoneBoard::Close() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    closed_ = true;
  }
  dones_changed_.notify_all();
}

}  // namespace stepwell::event_log
