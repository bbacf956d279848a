// The event log embedded in the process: durable, deduplicated, ordered.
#ifndef STEPWELL_CC_EVENT_LOG_EVENT_LOG_H_
#define STEPWELL_CC_EVENT_LOG_EVENT_LOG_H_

#include <cstdint>
#include <memory>
#include <shared_mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "cc/event_log/doorbell.h"
#include "cc/event_log/event.h"
#include "cc/event_log/event_log_options.h"
#include "cc/event_log/event_store.h"
#include "cc/event_log/group_commit.h"

namespace stepwell::event_log {

// Concurrency: thread-safe. Several processes may append to one folder.
// Durability: a receipt exists only after its events are on disk; what was acknowledged
// survives SIGKILL and power cuts. What was not may or may not be there: the producer
// sends it again, and the log keeps one.
// Errors: InvalidArgument (a FieldError) before anything is kept; ResourceExhausted
// when the queue, the disk or the map is full; Unavailable when a sync or the system
// fails; DataLoss when stored bytes are not what was written; FailedPrecondition when
// it is closed. Those of the file name its folder.
class EventLog {
 public:
  // FailedPrecondition also when this process has the folder open already.
  static absl::StatusOr<std::unique_ptr<EventLog>> Open(
      std::string path, const EventLogOptions& options = {});

  ~EventLog() { Close(); }
  EventLog(const EventLog&) = delete;
  EventLog& operator=(const EventLog&) = delete;

  // Stores a batch, all or nothing, and returns when it is durable.
  absl::StatusOr<Receipt> Append(Batch batch);

  // The same without waiting: a ticket, with which WaitDone hands out the end. That may
  // happen before this returns.
  absl::StatusOr<int64_t> Submit(Batch batch);

  // Ends of submitted batches since the last call, in order; waits for the first one.
  // Empty: the time is over, or the log is closed and everything was handed out.
  std::vector<Done> WaitDone(int64_t timeout_us) {
    return commits_->Collect(timeout_us);
  }

  // An event that nobody waits for. False: no room, or closed; the caller counts it. An
  // error is InvalidArgument. Cost: a lock and a move, under 1 us.
  absl::StatusOr<bool> Post(Record record);

  PostCounts post_counts() const { return commits_->counts(); }

  // Why posted events were lost the last time; "" when none ever was.
  std::string last_loss() const { return commits_->last_loss(); }

  // At most `limit` events from an offset on, in order.
  absl::StatusOr<std::vector<StoredEvent>> Read(int64_t from_offset,
                                                int64_t limit) const;

  // Looks at `limit` events at most and passes those by whose id begins with `prefix`.
  absl::StatusOr<SomeEvents> ReadExcept(absl::string_view prefix, int64_t from_offset,
                                        int64_t limit) const;

  // Of the oldest event that is not forgotten; EndOffset() where there is none.
  absl::StatusOr<int64_t> FirstOffset() const;

  // Of the next new event.
  absl::StatusOr<int64_t> EndOffset() const;

  // Whether the end is beyond `from_offset`, as soon as it is or when the time is over:
  // what any process of this host appends ends the wait. FailedPrecondition also when
  // the log is closed meanwhile.
  absl::StatusOr<bool> Wait(int64_t from_offset, int64_t timeout_us) const;

  // The next offset a consumer wants, 0 before its first commit; and the same, durably.
  absl::StatusOr<int64_t> CommittedOffset(absl::string_view consumer) const;
  absl::Status CommitOffset(absl::string_view consumer, int64_t offset);

  // Forgets events before an offset, and their ids, damaged ones too; returns how many.
  absl::StatusOr<int64_t> Trim(int64_t before_offset);

  // The space that events and their ids take.
  absl::StatusOr<int64_t> SizeBytes() const;

  // Commits what is queued, waits for those who read, gives up the folder. Once; the
  // others find it closed.
  void Close();

 private:
  EventLog(std::unique_ptr<EventStore> store, std::unique_ptr<Doorbell> doorbell)
      : doorbell_(std::move(doorbell)), store_(std::move(store)) {}

  absl::StatusOr<std::vector<Receipt>> Commit(absl::Span<const Batch> batches);

  // Runs `work` with the store, which stays open meanwhile.
  template <typename Work>
  auto WithStore(Work work) const -> decltype(work(std::declval<EventStore&>()));

  const std::unique_ptr<Doorbell> doorbell_;
  // Of store_: exclusive to close it. The committing thread ends before and needs none.
  mutable std::shared_mutex open_mutex_;
  std::unique_ptr<EventStore> store_;
  std::unique_ptr<GroupCommit> commits_;
};

}  // namespace stepwell::event_log

#endif  // STEPWELL_CC_EVENT_LOG_EVENT_LOG_H_
