#include "cc/online_store/lmdb_store.h"

#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"

namespace stepwell::online_store {
namespace {

using lmdb::Environment;
using lmdb::Table;
using lmdb::Transaction;

// Damage is no reason to stop: the rows of others may be whole.
absl::Status AsRead(const absl::Status& status) {
  if (!absl::IsDataLoss(status)) return status;
  return absl::UnavailableError(status.message());
}

}  // namespace

absl::StatusOr<std::unique_ptr<LmdbStore>> LmdbStore::Open(std::string path,
                                                           int64_t map_size_bytes) {
  STEPWELL_ASSIGN_OR_RETURN(
      std::unique_ptr<Environment> environment,
      Environment::Open(std::move(path),
                        {.map_size_bytes = map_size_bytes, .sync_meta = false}));
  Table table = 0;
  const char* const unnamed = nullptr;
  STEPWELL_RETURN_IF_ERROR(environment->OpenTables({&unnamed, 1}, &table));
  return std::unique_ptr<LmdbStore>(new LmdbStore(std::move(environment), table));
}

absl::StatusOr<Transaction> LmdbStore::Reader() const {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!idle_readers_.empty()) {
      Transaction reader = std::move(idle_readers_.back());
      idle_readers_.pop_back();
      STEPWELL_RETURN_IF_ERROR(reader.Renew());
      return reader;
    }
  }
  return Transaction::Begin(*environment_, Transaction::Kind::kRead);
}

absl::StatusOr<std::vector<Blob>> LmdbStore::Get(
    absl::Span<const std::string> keys) const {
  STEPWELL_ASSIGN_OR_RETURN(Transaction reader, Reader());
  absl::StatusOr<std::vector<Blob>> blobs = GetIn(reader, keys);
  reader.Reset();
  const std::lock_guard<std::mutex> lock(mutex_);
  idle_readers_.push_back(std::move(reader));
  return blobs;
}

absl::StatusOr<std::vector<Blob>> LmdbStore::GetIn(
    const Transaction& reader, absl::Span<const std::string> keys) const {
  std::vector<Blob> blobs;
  blobs.reserve(keys.size());
  for (const std::string& key : keys) {
    const auto found = reader.Get(table_, key);
    if (!found.ok()) return AsRead(found.status());
    if (!*found) {
      blobs.emplace_back(std::nullopt);
      continue;
    }
    // A length that no write has left would be read beyond the file's end.
    if ((*found)->size() > kMaxBlobBytes) {
      return environment_->Named(absl::UnavailableError(
          absl::StrCat("a blob has ", (*found)->size(), " bytes: it is damaged")));
    }
    blobs.emplace_back(**found);
  }
  return blobs;
}

absl::StatusOr<bool> LmdbStore::Holds(const Transaction& transaction,
                                      const Guard& guard) const {
  STEPWELL_ASSIGN_OR_RETURN(const auto found, transaction.Get(table_, guard.key));
  if (!found || !guard.expected) return !found && !guard.expected;
  return *found == *guard.expected;
}

absl::StatusOr<bool> LmdbStore::Write(
    const std::optional<Guard>& guard,
    absl::Span<const std::pair<absl::string_view, absl::string_view>> entries) {
  STEPWELL_ASSIGN_OR_RETURN(
      Transaction transaction,
      Transaction::Begin(*environment_, Transaction::Kind::kWrite));
  if (guard) {
    const absl::StatusOr<bool> holds = Holds(transaction, *guard);
    if (!holds.ok()) return AsRead(holds.status());
    if (!*holds) return false;
  }
  for (const auto& [key, blob] : entries) {
    const absl::Status put = transaction.Put(table_, key, blob);
    if (!put.ok()) return AsRead(put);
  }
  STEPWELL_RETURN_IF_ERROR(AsRead(transaction.Commit()));
  return true;
}

}  // namespace stepwell::online_store
