// Group commit: batches that wait at the same time share one sync to disk.
#ifndef STEPWELL_CC_EVENT_LOG_GROUP_COMMIT_H_
#define STEPWELL_CC_EVENT_LOG_GROUP_COMMIT_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "cc/event_log/done_board.h"
#include "cc/event_log/event.h"
#include "cc/event_log/event_log_options.h"
#include "cc/event_log/pending_queue.h"

namespace stepwell::event_log {

// One thread that commits what has gathered while it was committing. What somebody
// waits for is committed at once when the disk is idle, and groups grow by themselves
// when commits are slow. A group that fails fails all of its batches.
//
// The thread has a nice value of its own (kNice at least): what is stored must not take
// the processor from what is answered.
//
// Concurrency: thread-safe; `commit` is called on the one thread only.
class GroupCommit {
 public:
  // Makes batches durable together; receipts in order.
  using Commit =
      std::function<absl::StatusOr<std::vector<Receipt>>(absl::Span<const Batch>)>;

  // Unavailable when the system gives no thread. Batches are within limits (event.h).
  static absl::StatusOr<std::unique_ptr<GroupCommit>> Start(
      Commit commit, const EventLogOptions& options);

  ~GroupCommit() { Close(); }
  GroupCommit(const GroupCommit&) = delete;
  GroupCommit& operator=(const GroupCommit&) = delete;

  // Returns when the batch has ended. ResourceExhausted and FailedPrecondition: nothing
  // was queued (PendingQueue::Push).
  absl::StatusOr<Receipt> Append(Batch batch);

  // The same without waiting: Collect hands out the ticket with its end, perhaps before
  // this returns. ResourceExhausted also when nobody collects.
  absl::StatusOr<int64_t> Submit(Batch batch);

  // An event that nobody waits for. False: no room, or closed; the caller counts it.
  bool Post(Record record);

  // See DoneBoard.
  std::vector<Done> Collect(int64_t timeout_us) { return board_.Collect(timeout_us); }
  PostCounts counts() const { return board_.counts(); }
  std::string last_loss() const { return board_.last_loss(); }

  // Commits what is queued, then ends the thread.
  void Close();

  static constexpr int kNice = 5;

 private:
  GroupCommit(Commit commit, const EventLogOptions& options)
      : commit_(std::move(commit)), options_(options), queue_(options) {}

  void Run();
  void CommitGroup(std::vector<Pending> group);

  const Commit commit_;
  const EventLogOptions options_;
  PendingQueue queue_;
  DoneBoard board_;
  std::atomic<int64_t> last_ticket_{0};
  std::once_flag closed_;
  std::thread thread_;
};

}  // namespace stepwell::event_log

#endif  // STEPWELL_CC_EVENT_LOG_GROUP_COMMIT_H_
