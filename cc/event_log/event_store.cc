#include "cc/event_log/event_store.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"
#include "cc/event_log/stored_frame.h"

namespace stepwell::event_log {
namespace {

using lmdb::BytesOf;
using lmdb::ValueOf;

constexpr absl::string_view kNextOffset = "next_offset";

std::string ConsumerKey(absl::string_view consumer) {
  return absl::StrCat("consumer:", consumer);
}

absl::string_view View(const PackedNumber& packed) {
  return {packed.data(), packed.size()};
}

}  // namespace

absl::StatusOr<std::unique_ptr<EventStore>> EventStore::Open(
    std::string path, const EnvironmentOptions& options) {
  STEPWELL_ASSIGN_OR_RETURN(std::unique_ptr<Environment> environment,
                            Environment::Open(std::move(path), options));
  std::unique_ptr<EventStore> store(new EventStore(std::move(environment)));
  STEPWELL_RETURN_IF_ERROR(store->OpenTables());
  return store;
}

absl::Status EventStore::OpenTables() {
  constexpr const char* kNames[] = {"events", "ids", "meta"};
  Table tables[3];
  STEPWELL_RETURN_IF_ERROR(environment_->OpenTables(kNames, tables));
  tables_ = {.events = tables[0], .ids = tables[1], .meta = tables[2]};
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Receipt>> EventStore::Append(
    absl::Span<const Batch> batches) {
  STEPWELL_ASSIGN_OR_RETURN(
      Transaction transaction,
      Transaction::Begin(*environment_, Transaction::Kind::kWrite));
  STEPWELL_ASSIGN_OR_RETURN(const int64_t first_offset,
                            Number(transaction, kNextOffset));
  int64_t next_offset = first_offset;
  std::vector<Receipt> receipts;
  receipts.reserve(batches.size());
  for (const Batch& batch : batches) {
    STEPWELL_ASSIGN_OR_RETURN(Receipt receipt,
                              PutBatch(transaction, batch, &next_offset));
    receipts.push_back(std::move(receipt));
  }
  // What is there already is on disk already.
  if (next_offset == first_offset) return receipts;
  STEPWELL_RETURN_IF_ERROR(
      transaction.Put(tables_.meta, kNextOffset, View(Pack(next_offset))));
  STEPWELL_RETURN_IF_ERROR(transaction.Commit());
  return receipts;
}

absl::StatusOr<Receipt> EventStore::PutBatch(Transaction& transaction,
                                             const Batch& batch, int64_t* next_offset) {
  Receipt receipt;
  receipt.offsets.reserve(batch.size());
  for (const Record& record : batch) {
    STEPWELL_ASSIGN_OR_RETURN(const int64_t offset,
                              PutEvent(transaction, record, *next_offset));
    receipt.offsets.push_back(offset);
    if (offset != *next_offset) continue;
    ++*next_offset;
    ++receipt.num_stored;
  }
  return receipt;
}

absl::StatusOr<int64_t> EventStore::PutEvent(Transaction& transaction,
                                             const Record& record, int64_t offset) {
  const PackedNumber packed = Pack(offset);
  MDB_val id = ValueOf(record.id);
  MDB_val place = ValueOf(View(packed));
  const int code =
      mdb_put(transaction.get(), tables_.ids, &id, &place, MDB_NOOVERWRITE);
  if (code == MDB_KEYEXIST) return NumberOf(BytesOf(place));
  STEPWELL_RETURN_IF_ERROR(environment_->ErrorOf(code));
  MDB_val key = ValueOf(View(packed));
  MDB_val frame{FrameBytes(record), nullptr};
  STEPWELL_RETURN_IF_ERROR(environment_->ErrorOf(mdb_put(
      transaction.get(), tables_.events, &key, &frame, MDB_APPEND | MDB_RESERVE)));
  WriteFrame(packed, record, static_cast<char*>(frame.mv_data));
  return offset;
}

absl::StatusOr<std::vector<StoredEvent>> EventStore::Read(int64_t from_offset,
                                                          int64_t limit) const {
  SomeEvents some;
  STEPWELL_RETURN_IF_ERROR(
      Walk(from_offset, limit, [](absl::string_view) { return true; }, &some));
  return std::move(some.events);
}

absl::StatusOr<SomeEvents> EventStore::ReadExcept(absl::string_view prefix,
                                                  int64_t from_offset,
                                                  int64_t limit) const {
  SomeEvents some;
  const auto is_wanted = [prefix](absl::string_view frame) {
    return !absl::StartsWith(PeekId(frame), prefix);
  };
  STEPWELL_RETURN_IF_ERROR(Walk(from_offset, limit, is_wanted, &some));
  return some;
}

template <typename IsWanted>
absl::Status EventStore::Walk(int64_t from_offset, int64_t limit, IsWanted is_wanted,
                              SomeEvents* some) const {
  STEPWELL_ASSIGN_OR_RETURN(
      const Transaction transaction,
      Transaction::Begin(*environment_, Transaction::Kind::kRead));
  STEPWELL_ASSIGN_OR_RETURN(Cursor cursor, Cursor::Open(transaction, tables_.events));
  some->next_offset = from_offset;
  const PackedNumber start = Pack(from_offset);
  absl::string_view key = View(start);
  absl::string_view frame;
  for (int64_t i = 0; i < limit; ++i) {
    const MDB_cursor_op where = i == 0 ? MDB_SET_RANGE : MDB_NEXT;
    STEPWELL_ASSIGN_OR_RETURN(const bool more, cursor.Move(where, &key, &frame));
    if (!more) break;
    STEPWELL_ASSIGN_OR_RETURN(const int64_t offset, NumberOf(key));
    some->next_offset = offset + 1;
    if (!is_wanted(frame)) continue;
    STEPWELL_ASSIGN_OR_RETURN(StoredEvent event, EventOf(offset, frame));
    some->events.push_back(std::move(event));
  }
  return absl::OkStatus();
}

absl::StatusOr<int64_t> EventStore::FirstOffset() const {
  STEPWELL_ASSIGN_OR_RETURN(
      const Transaction transaction,
      Transaction::Begin(*environment_, Transaction::Kind::kRead));
  STEPWELL_ASSIGN_OR_RETURN(Cursor cursor, Cursor::Open(transaction, tables_.events));
  absl::string_view key;
  absl::string_view frame;
  STEPWELL_ASSIGN_OR_RETURN(const bool any, cursor.Move(MDB_FIRST, &key, &frame));
  return any ? NumberOf(key) : Number(transaction, kNextOffset);
}

absl::StatusOr<int64_t> EventStore::EndOffset() const { return NumberNow(kNextOffset); }

absl::StatusOr<int64_t> EventStore::CommittedOffset(absl::string_view consumer) const {
  return NumberNow(ConsumerKey(consumer));
}

absl::Status EventStore::CommitOffset(absl::string_view consumer, int64_t offset) {
  STEPWELL_ASSIGN_OR_RETURN(
      Transaction transaction,
      Transaction::Begin(*environment_, Transaction::Kind::kWrite));
  STEPWELL_RETURN_IF_ERROR(
      transaction.Put(tables_.meta, ConsumerKey(consumer), View(Pack(offset))));
  return transaction.Commit();
}

absl::StatusOr<int64_t> EventStore::Trim(int64_t before_offset) {
  int64_t num_trimmed = 0;
  while (true) {
    STEPWELL_ASSIGN_OR_RETURN(const int64_t num_more, TrimSome(before_offset));
    num_trimmed += num_more;
    if (num_more < kTrimmedTogether) return num_trimmed;
  }
}

absl::StatusOr<int64_t> EventStore::TrimSome(int64_t before_offset) {
  STEPWELL_ASSIGN_OR_RETURN(
      Transaction transaction,
      Transaction::Begin(*environment_, Transaction::Kind::kWrite));
  STEPWELL_ASSIGN_OR_RETURN(const int64_t num_trimmed,
                            Forget(transaction, before_offset));
  STEPWELL_RETURN_IF_ERROR(transaction.Commit());
  return num_trimmed;
}

absl::StatusOr<int64_t> EventStore::Forget(Transaction& transaction,
                                           int64_t before_offset) {
  STEPWELL_ASSIGN_OR_RETURN(Cursor cursor, Cursor::Open(transaction, tables_.events));
  absl::string_view key;
  absl::string_view frame;
  int64_t num_trimmed = 0;
  for (; num_trimmed < kTrimmedTogether; ++num_trimmed) {
    STEPWELL_ASSIGN_OR_RETURN(const bool more, cursor.Move(MDB_FIRST, &key, &frame));
    if (!more) break;
    STEPWELL_ASSIGN_OR_RETURN(const int64_t offset, NumberOf(key));
    if (offset >= before_offset) break;
    STEPWELL_RETURN_IF_ERROR(ForgetId(transaction, PeekId(frame), key));
    STEPWELL_RETURN_IF_ERROR(cursor.Delete());
  }
  return num_trimmed;
}

absl::Status EventStore::ForgetId(Transaction& transaction, absl::string_view id,
                                  absl::string_view place) {
  if (id.empty()) return absl::OkStatus();
  STEPWELL_ASSIGN_OR_RETURN(const auto known, transaction.Get(tables_.ids, id));
  // A damaged id leads nowhere, or to another event, which keeps its own.
  if (known != place) return absl::OkStatus();
  MDB_val key = ValueOf(id);
  return environment_->ErrorOf(mdb_del(transaction.get(), tables_.ids, &key, nullptr));
}

absl::StatusOr<int64_t> EventStore::SizeBytes() const {
  STEPWELL_ASSIGN_OR_RETURN(
      const Transaction transaction,
      Transaction::Begin(*environment_, Transaction::Kind::kRead));
  size_t num_bytes = 0;
  for (const Table table : {tables_.events, tables_.ids}) {
    MDB_stat stat{};
    STEPWELL_RETURN_IF_ERROR(
        environment_->ErrorOf(mdb_stat(transaction.get(), table, &stat)));
    num_bytes += stat.ms_psize *
                 (stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages);
  }
  return static_cast<int64_t>(num_bytes);
}

absl::StatusOr<int64_t> EventStore::NumberNow(absl::string_view key) const {
  STEPWELL_ASSIGN_OR_RETURN(
      const Transaction transaction,
      Transaction::Begin(*environment_, Transaction::Kind::kRead));
  return Number(transaction, key);
}

absl::StatusOr<int64_t> EventStore::Number(const Transaction& transaction,
                                           absl::string_view key) const {
  STEPWELL_ASSIGN_OR_RETURN(const auto stored, transaction.Get(tables_.meta, key));
  if (!stored.has_value()) return 0;
  return NumberOf(*stored);
}

absl::StatusOr<int64_t> EventStore::NumberOf(absl::string_view bytes) const {
  absl::StatusOr<int64_t> number = Unpack(bytes);
  if (!number.ok()) return environment_->Named(number.status());
  return number;
}

absl::StatusOr<StoredEvent> EventStore::EventOf(int64_t offset,
                                                absl::string_view frame) const {
  absl::StatusOr<StoredEvent> event = ReadFrame(offset, frame);
  if (!event.ok()) return environment_->Named(event.status());
  return event;
}

}  // namespace stepwell::event_log
