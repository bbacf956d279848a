// Where those who wait learn what became of their batches.
#ifndef STEPWELL_CC_EVENT_LOG_DONE_BOARD_H_
#define STEPWELL_CC_EVENT_LOG_DONE_BOARD_H_

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cc/event_log/event.h"
#include "cc/event_log/pending_queue.h"

namespace stepwell::event_log {

// The end of a batch that was submitted.
struct Done {
  int64_t ticket = 0;
  absl::StatusOr<Receipt> receipt;
};

// A caller that sleeps until its batch has ended. Guarded by the board's lock.
struct Append {
  bool is_done = false;
  absl::StatusOr<Receipt> receipt;
};

// What became of posted events; they only grow.
struct PostCounts {
  int64_t num_stored = 0;
  int64_t num_duplicates = 0;
  int64_t num_lost = 0;
};

// Concurrency: thread-safe. Bound: who submits asks num_uncollected() first.
class DoneBoard {
 public:
  // Tells everybody in the group; the receipts are of its batches, in order.
  void Post(std::vector<Pending> group, absl::StatusOr<std::vector<Receipt>> receipts);

  // Sleeps until Post has seen it.
  absl::StatusOr<Receipt> WaitFor(Append& append);

  // Ends since the last call, in order; waits for the first one. Empty: the time is
  // over, or the board is closed and everything was collected.
  std::vector<Done> Collect(int64_t timeout_us);

  int64_t num_uncollected() const;
  PostCounts counts() const;

  // Why posted events were lost the last time; "" when none ever was.
  std::string last_loss() const;

  // Nothing is posted any more.
  void Close();

 private:
  // Both hold the lock.
  void End(const Pending& pending, absl::StatusOr<Receipt> receipt);
  void Count(int64_t num_events, const absl::StatusOr<Receipt>& receipt);

  mutable std::mutex mutex_;
  std::condition_variable appends_changed_;
  std::condition_variable dones_changed_;
  std::vector<Done> dones_;
  PostCounts counts_;
  std::string last_loss_;
  bool closed_ = false;
};

}  // namespace stepwell::event_log

#endif  // STEPWELL_CC_EVENT_LOG_DONE_BOARD_H_
