// What waits for the disk, and which of it shares the next commit.
#ifndef STEPWELL_CC_EVENT_LOG_PENDING_QUEUE_H_
#define STEPWELL_CC_EVENT_LOG_PENDING_QUEUE_H_

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <vector>

#include "absl/status/status.h"
#include "cc/event_log/event.h"
#include "cc/event_log/event_log_options.h"

namespace stepwell::event_log {

struct Append;  // of done_board.h

// A batch and who is to hear of it: a caller that sleeps, the holder of a ticket, or
// nobody.
struct Pending {
  Batch batch;
  Append* append = nullptr;
  int64_t ticket = 0;  // 0: none

  bool is_posted() const { return append == nullptr && ticket == 0; }
};

// First come, first served. Concurrency: Push and Close from any thread, TakeGroup from
// one. Bound: the options'. Cost: Push is a lock and a move; a wake-up when somebody
// waits for the batch, or when it is the first.
class PendingQueue {
 public:
  explicit PendingQueue(const EventLogOptions& options) : options_(options) {}

  // FailedPrecondition once closed; ResourceExhausted without room, where what is
  // posted finds none in the second half of the queue: it must not keep out what
  // somebody waits for. Only an OK moves from *pending.
  absl::Status Push(Pending* pending);

  // Sleeps until there is a group to commit: whole batches in order, one at least and
  // else at most max_group_events. One that is all posted waits linger_us for more,
  // unless it is full or the queue is closed. Empty: closed, and all is handed out.
  std::vector<Pending> TakeGroup();

  // Takes nothing more in; what waits is still handed out.
  void Close();

 private:
  // All of these hold the lock.
  absl::Status CheckRoom(int64_t num_events, int64_t num_bytes, bool posted) const;
  bool MayLinger() const;
  std::vector<Pending> TakeFront();

  const EventLogOptions options_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Pending> pending_;
  int64_t num_events_ = 0;
  int64_t num_bytes_ = 0;
  int64_t num_awaited_ = 0;  // batches that are not posted
  bool closed_ = false;
};

}  // namespace stepwell::event_log

#endif  // STEPWELL_CC_EVENT_LOG_PENDING_QUEUE_H_
