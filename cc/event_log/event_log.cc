#include "cc/event_log/event_log.h"

#include <limits>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cc/base/clock.h"
#include "cc/base/field_error.h"
#include "cc/base/status_macros.h"

namespace stepwell::event_log {
namespace {

absl::Status CheckOffset(absl::string_view field, int64_t offset) {
  return CheckRange(field, offset, 0, std::numeric_limits<int64_t>::max());
}

absl::Status CheckRead(int64_t from_offset, int64_t limit) {
  STEPWELL_RETURN_IF_ERROR(CheckOffset("from_offset", from_offset));
  return CheckRange("limit", limit, 1, kMaxReadEvents);
}

absl::Status CheckConsumer(absl::string_view consumer) {
  return CheckRange("size of consumer", static_cast<int64_t>(consumer.size()), 1,
                    kMaxConsumerBytes);
}

}  // namespace

absl::StatusOr<std::unique_ptr<EventLog>> EventLog::Open(
    std::string path, const EventLogOptions& options) {
  STEPWELL_RETURN_IF_ERROR(CheckOptions(options));
  const std::string doorbell_path = absl::StrCat(path, "/doorbell");
  STEPWELL_ASSIGN_OR_RETURN(
      std::unique_ptr<EventStore> store,
      EventStore::Open(std::move(path), {.map_size_bytes = options.map_size_bytes,
                                         .sync_meta = options.sync_meta}));
  STEPWELL_ASSIGN_OR_RETURN(std::unique_ptr<Doorbell> doorbell,
                            Doorbell::Open(doorbell_path));
  std::unique_ptr<EventLog> log(new EventLog(std::move(store), std::move(doorbell)));
  STEPWELL_ASSIGN_OR_RETURN(
      log->commits_,
      GroupCommit::Start(
          [log = log.get()](auto batches) { return log->Commit(batches); }, options));
  return log;
}

// Of the committing thread, which ends before the store is closed.
absl::StatusOr<std::vector<Receipt>> EventLog::Commit(absl::Span<const Batch> batches) {
  absl::StatusOr<std::vector<Receipt>> receipts = store_->Append(batches);
  if (receipts.ok()) doorbell_->Ring();
  return receipts;
}

template <typename Work>
auto EventLog::WithStore(Work work) const
    -> decltype(work(std::declval<EventStore&>())) {
  const std::shared_lock<std::shared_mutex> lock(open_mutex_);
  if (store_ == nullptr) {
    return absl::FailedPreconditionError("the event log is closed");
  }
  return work(*store_);
}

absl::StatusOr<Receipt> EventLog::Append(Batch batch) {
  STEPWELL_RETURN_IF_ERROR(CheckBatch(batch));
  return commits_->Append(std::move(batch));
}

absl::StatusOr<int64_t> EventLog::Submit(Batch batch) {
  STEPWELL_RETURN_IF_ERROR(CheckBatch(batch));
  return commits_->Submit(std::move(batch));
}

absl::StatusOr<bool> EventLog::Post(Record record) {
  STEPWELL_RETURN_IF_ERROR(CheckBatch({&record, 1}));
  return commits_->Post(std::move(record));
}

absl::StatusOr<std::vector<StoredEvent>> EventLog::Read(int64_t from_offset,
                                                        int64_t limit) const {
  STEPWELL_RETURN_IF_ERROR(CheckRead(from_offset, limit));
  return WithStore([&](EventStore& store) { return store.Read(from_offset, limit); });
}

absl::StatusOr<SomeEvents> EventLog::ReadExcept(absl::string_view prefix,
                                                int64_t from_offset,
                                                int64_t limit) const {
  STEPWELL_RETURN_IF_ERROR(CheckRange(
      "size of prefix", static_cast<int64_t>(prefix.size()), 1, kMaxIdBytes));
  STEPWELL_RETURN_IF_ERROR(CheckRead(from_offset, limit));
  return WithStore(
      [&](EventStore& store) { return store.ReadExcept(prefix, from_offset, limit); });
}

absl::StatusOr<int64_t> EventLog::FirstOffset() const {
  return WithStore([](EventStore& store) { return store.FirstOffset(); });
}

absl::StatusOr<int64_t> EventLog::EndOffset() const {
  return WithStore([](EventStore& store) { return store.EndOffset(); });
}

absl::StatusOr<bool> EventLog::Wait(int64_t from_offset, int64_t timeout_us) const {
  STEPWELL_RETURN_IF_ERROR(CheckOffset("from_offset", from_offset));
  const int64_t started = Clock::Steady().NowNanos();
  while (true) {
    // In this order: what is appended after the look at the end has rung after `seen`.
    const uint32_t seen = doorbell_->num_rings();
    STEPWELL_ASSIGN_OR_RETURN(const int64_t end_offset, EndOffset());
    if (end_offset > from_offset) return true;
    const int64_t waited_us = (Clock::Steady().NowNanos() - started) / 1'000;
    const int64_t left_us = timeout_us - waited_us;
    if (left_us <= 0) return false;
    doorbell_->WaitBeyond(seen, left_us);
  }
}

absl::StatusOr<int64_t> EventLog::CommittedOffset(absl::string_view consumer) const {
  STEPWELL_RETURN_IF_ERROR(CheckConsumer(consumer));
  return WithStore([&](EventStore& store) { return store.CommittedOffset(consumer); });
}

absl::Status EventLog::CommitOffset(absl::string_view consumer, int64_t offset) {
  STEPWELL_RETURN_IF_ERROR(CheckConsumer(consumer));
  STEPWELL_RETURN_IF_ERROR(CheckOffset("offset", offset));
  return WithStore(
      [&](EventStore& store) { return store.CommitOffset(consumer, offset); });
}

absl::StatusOr<int64_t> EventLog::Trim(int64_t before_offset) {
  STEPWELL_RETURN_IF_ERROR(CheckOffset("before_offset", before_offset));
  return WithStore([&](EventStore& store) { return store.Trim(before_offset); });
}

absl::StatusOr<int64_t> EventLog::SizeBytes() const {
  return WithStore([](EventStore& store) { return store.SizeBytes(); });
}

void EventLog::Close() {
  if (commits_ != nullptr) commits_->Close();
  {
    const std::lock_guard<std::shared_mutex> lock(open_mutex_);
    store_.reset();
  }
  doorbell_->Ring();
}

}  // namespace stepwell::event_log
