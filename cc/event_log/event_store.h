// The log's file: what one transaction writes and reads. No queue, no thread.
#ifndef STEPWELL_CC_EVENT_LOG_EVENT_STORE_H_
#define STEPWELL_CC_EVENT_LOG_EVENT_STORE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "cc/event_log/event.h"
#include "cc/lmdb/environment.h"

namespace stepwell::event_log {

using lmdb::Cursor;
using lmdb::Environment;
using lmdb::EnvironmentOptions;
using lmdb::Table;
using lmdb::Transaction;

// Tables: `events` offset -> frame (stored_frame.h), `ids` id -> offset, `meta`: the
// next offset, and each consumer's.
//
// Concurrency: thread-safe. Writers of all processes take turns: the next offset is
// read under the writer's lock. Every write returns when it is on disk.
// Errors: as Environment::ErrorOf; DataLoss also when stored bytes are not what was
// written. All name the folder. After an error nothing of that call is in the log.
class EventStore {
 public:
  static absl::StatusOr<std::unique_ptr<EventStore>> Open(
      std::string path, const EnvironmentOptions& options);

  // Stores all batches or none, in order; within the limits of event.h. A repeated
  // event keeps its first payload and place. Cost: the tree's work and one sync.
  absl::StatusOr<std::vector<Receipt>> Append(absl::Span<const Batch> batches);

  // At most `limit` events from an offset on, in order.
  absl::StatusOr<std::vector<StoredEvent>> Read(int64_t from_offset,
                                                int64_t limit) const;

  // Looks at `limit` events at most and passes those by whose id begins with `prefix`;
  // their checksums stay unread. Cost: about 25 ns an event passed by in memory.
  absl::StatusOr<SomeEvents> ReadExcept(absl::string_view prefix, int64_t from_offset,
                                        int64_t limit) const;

  // Of the oldest event that is not forgotten; EndOffset() where there is none.
  absl::StatusOr<int64_t> FirstOffset() const;

  // Of the next new event.
  absl::StatusOr<int64_t> EndOffset() const;

  // 0 before the consumer's first commit.
  absl::StatusOr<int64_t> CommittedOffset(absl::string_view consumer) const;
  absl::Status CommitOffset(absl::string_view consumer, int64_t offset);

  // Forgets events before an offset, and their ids; returns how many. One commit each
  // kTrimmedTogether, so that appends go between. Checksums stay unread: a damaged
  // event is forgotten like the others.
  absl::StatusOr<int64_t> Trim(int64_t before_offset);

  // Pages in use; the file is as large as it ever was.
  absl::StatusOr<int64_t> SizeBytes() const;

  static constexpr int64_t kTrimmedTogether = 2'000;

 private:
  struct Tables {
    Table events, ids, meta;
  };

  explicit EventStore(std::unique_ptr<Environment> environment)
      : environment_(std::move(environment)) {}

  absl::Status OpenTables();
  absl::StatusOr<int64_t> Number(const Transaction& transaction,
                                 absl::string_view key) const;
  absl::StatusOr<int64_t> NumberNow(absl::string_view key) const;
  // Stores a batch from *next_offset on and moves that.
  absl::StatusOr<Receipt> PutBatch(Transaction& transaction, const Batch& batch,
                                   int64_t* next_offset);
  // The event's place, which is `offset` when it is new.
  absl::StatusOr<int64_t> PutEvent(Transaction& transaction, const Record& record,
                                   int64_t offset);
  absl::StatusOr<int64_t> TrimSome(int64_t before_offset);
  absl::StatusOr<int64_t> Forget(Transaction& transaction, int64_t before_offset);
  // Forgets an id that leads to `place`; one that nothing has vouched for may not.
  absl::Status ForgetId(Transaction& transaction, absl::string_view id,
                        absl::string_view place);
  // Looks at `limit` events at most and keeps those whose frame is wanted.
  template <typename IsWanted>
  absl::Status Walk(int64_t from_offset, int64_t limit, IsWanted is_wanted,
                    SomeEvents* some) const;
  // Unpack and ReadFrame, with the folder in their errors.
  absl::StatusOr<int64_t> NumberOf(absl::string_view bytes) const;
  absl::StatusOr<StoredEvent> EventOf(int64_t offset, absl::string_view frame) const;

  const std::unique_ptr<Environment> environment_;
  Tables tables_{};
};

}  // namespace stepwell::event_log

#endif  // STEPWELL_CC_EVENT_LOG_EVENT_STORE_H_
