// LMDB behind our errors: the only files that include its header are this one's users.
#ifndef STEPWELL_CC_LMDB_ENVIRONMENT_H_
#define STEPWELL_CC_LMDB_ENVIRONMENT_H_

#include <lmdb.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "cc/lmdb/open_folders.h"

namespace stepwell::lmdb {

using Table = MDB_dbi;

inline MDB_val ValueOf(absl::string_view bytes) {
  return {bytes.size(), const_cast<char*>(bytes.data())};
}

inline absl::string_view BytesOf(const MDB_val& value) {
  return {static_cast<const char*>(value.mv_data), value.mv_size};
}

struct EnvironmentOptions {
  int64_t map_size_bytes = int64_t{16} << 30;
  bool sync_meta = true;
};

// One open folder of LMDB. Concurrency: thread-safe; transactions of one process read
// beside each other and beside the one writer, of whatever process it is.
class Environment {
 public:
  // Opens or creates the folder (mode 0700). FailedPrecondition when this process has
  // it open already, DataLoss when its file was cut short, ResourceExhausted when the
  // disk is full, Unavailable when it cannot be used.
  static absl::StatusOr<std::unique_ptr<Environment>> Open(
      std::string path, const EnvironmentOptions& options);

  ~Environment();
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

  // Opens or creates named tables; once, before other threads use the environment.
  absl::Status OpenTables(absl::Span<const char* const> names, Table* tables);

  // OK for MDB_SUCCESS, else with the path: ResourceExhausted when the map or the disk
  // is full, DataLoss when pages contradict each other, Unavailable for all else.
  absl::Status ErrorOf(int code) const;

  // The same status with the path before its text.
  absl::Status Named(const absl::Status& status) const;

  MDB_env* get() const { return environment_; }

 private:
  Environment(std::string path, FolderClaim claim);
  absl::Status OpenFile(const EnvironmentOptions& options);

  const std::string path_;
  const FolderClaim claim_;
  MDB_env* environment_ = nullptr;
};

// Ends without a trace unless it is committed. One thread at a time.
class Transaction {
 public:
  enum class Kind { kRead, kWrite };

  // kWrite waits for the other writers, of this process and of others.
  static absl::StatusOr<Transaction> Begin(const Environment& environment, Kind kind);

  Transaction(Transaction&& other) noexcept;
  ~Transaction();

  // Of a reader: lets go of what it sees but keeps its slot, which `Renew` then needs
  // not look for. Nothing else may be called between the two.
  void Reset();
  absl::Status Renew();

  // nullopt when it is not there. The bytes live until the next write or the end.
  absl::StatusOr<std::optional<absl::string_view>> Get(Table table,
                                                       absl::string_view key) const;

  absl::Status Put(Table table, absl::string_view key, absl::string_view value);

  // Returns only when it is on disk.
  absl::Status Commit();

  MDB_txn* get() const { return transaction_; }
  const Environment& environment() const { return environment_; }

 private:
  Transaction(const Environment& environment, MDB_txn* transaction)
      : environment_(environment), transaction_(transaction) {}

  const Environment& environment_;
  MDB_txn* transaction_;
};

// Walks a table in order of its keys; dies before its transaction.
class Cursor {
 public:
  static absl::StatusOr<Cursor> Open(const Transaction& transaction, Table table);

  Cursor(Cursor&& other) noexcept;
  ~Cursor();

  // False at the end. `key` is where to start for MDB_SET_RANGE, and where it stands
  // afterwards.
  absl::StatusOr<bool> Move(MDB_cursor_op where, absl::string_view* key,
                            absl::string_view* value);

  // Of what it stands on.
  absl::Status Delete();

 private:
  Cursor(const Environment& environment, MDB_cursor* cursor)
      : environment_(environment), cursor_(cursor) {}

  const Environment& environment_;
  MDB_cursor* cursor_;
};

}  // namespace stepwell::lmdb

#endif  // STEPWELL_CC_LMDB_ENVIRONMENT_H_
