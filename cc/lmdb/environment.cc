#include "cc/lmdb/environment.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"
#include "cc/lmdb/data_file.h"

namespace stepwell::lmdb {
namespace {

constexpr int kFolderMode = 0700;
constexpr int kFileMode = 0600;
constexpr unsigned kMaxReaders = 512;
constexpr unsigned kMaxTables = 8;
constexpr off_t kLockFileBytes = off_t{kMaxReaders + 64} * 64;  // a slot has 64 bytes

absl::Status MakeFolder(const std::string& path) {
  const std::filesystem::path parent =
      (std::filesystem::path(path) / "").parent_path().parent_path();
  std::error_code error;
  if (!parent.empty()) std::filesystem::create_directories(parent, error);
  if (error) {
    return absl::UnavailableError(
        absl::StrCat("cannot make ", parent.string(), ": ", error.message()));
  }
  if (mkdir(path.c_str(), kFolderMode) == 0 || errno == EEXIST) {
    return absl::OkStatus();
  }
  return absl::UnavailableError(
      absl::StrCat("cannot make ", path, ": ", std::strerror(errno)));
}

// Takes the room of the lock file, which is written through a map: where the disk is
// full that would end the process with SIGBUS. Returns ENOSPC or EDQUOT then, else 0:
// all other trouble is the opening's to tell. This process has the folder not open, or
// closing the file would let its locks go; what others have mapped keeps its size.
int ReserveLockFile(const std::string& folder) {
  const std::string path = folder + "/lock.mdb";
  const int descriptor = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, kFileMode);
  if (descriptor < 0) return 0;
  const int done = fallocate(descriptor, FALLOC_FL_KEEP_SIZE, 0, kLockFileBytes);
  const int code = done == 0 ? 0 : errno;
  close(descriptor);
  return code == ENOSPC || code == EDQUOT ? code : 0;
}

unsigned FlagsOf(const EnvironmentOptions& options) {
  // Reads by a table's order gain nothing from readahead when the file is larger than
  // memory. A reader's slot belongs to its transaction, whatever thread ends it.
  return MDB_NORDAHEAD | MDB_NOTLS | (options.sync_meta ? 0 : MDB_NOMETASYNC);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Environment>> Environment::Open(
    std::string path, const EnvironmentOptions& options) {
  STEPWELL_RETURN_IF_ERROR(MakeFolder(path));
  STEPWELL_ASSIGN_OR_RETURN(FolderClaim claim, FolderClaim::Take(path));
  std::unique_ptr<Environment> environment(
      new Environment(std::move(path), std::move(claim)));
  STEPWELL_RETURN_IF_ERROR(environment->OpenFile(options));
  return environment;
}

Environment::Environment(std::string path, FolderClaim claim)
    : path_(std::move(path)), claim_(std::move(claim)) {}

// Closes also what failed to open, as LMDB wants it.
Environment::~Environment() { mdb_env_close(environment_); }

absl::Status Environment::OpenFile(const EnvironmentOptions& options) {
  STEPWELL_RETURN_IF_ERROR(Named(CheckDataFile(path_)));
  STEPWELL_RETURN_IF_ERROR(ErrorOf(mdb_env_create(&environment_)));
  STEPWELL_RETURN_IF_ERROR(
      ErrorOf(mdb_env_set_mapsize(environment_, options.map_size_bytes)));
  STEPWELL_RETURN_IF_ERROR(ErrorOf(mdb_env_set_maxreaders(environment_, kMaxReaders)));
  STEPWELL_RETURN_IF_ERROR(ErrorOf(mdb_env_set_maxdbs(environment_, kMaxTables)));
  STEPWELL_RETURN_IF_ERROR(ErrorOf(ReserveLockFile(path_)));
  STEPWELL_RETURN_IF_ERROR(
      ErrorOf(mdb_env_open(environment_, path_.c_str(), FlagsOf(options), kFileMode)));
  // Readers killed in the middle of a read would pin old pages for ever.
  int num_dead = 0;
  return ErrorOf(mdb_reader_check(environment_, &num_dead));
}

absl::Status Environment::OpenTables(absl::Span<const char* const> names,
                                     Table* tables) {
  STEPWELL_ASSIGN_OR_RETURN(Transaction transaction,
                            Transaction::Begin(*this, Transaction::Kind::kWrite));
  for (size_t i = 0; i < names.size(); ++i) {
    STEPWELL_RETURN_IF_ERROR(
        ErrorOf(mdb_dbi_open(transaction.get(), names[i], MDB_CREATE, &tables[i])));
  }
  return transaction.Commit();
}

absl::Status Environment::ErrorOf(int code) const {
  switch (code) {
    case MDB_SUCCESS:
      return absl::OkStatus();
    case MDB_MAP_FULL:
      return absl::ResourceExhaustedError(
          absl::StrCat(path_, " is full: ", mdb_strerror(code)));
    case ENOSPC:
    case EDQUOT:
      return absl::ResourceExhaustedError(
          absl::StrCat(path_, ": ", mdb_strerror(code)));
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
      return absl::DataLossError(absl::StrCat(path_, ": ", mdb_strerror(code)));
    default:
      return absl::UnavailableError(absl::StrCat(path_, ": ", mdb_strerror(code)));
  }
}

absl::Status Environment::Named(const absl::Status& status) const {
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat(path_, ": ", status.message()));
}

absl::StatusOr<Transaction> Transaction::Begin(const Environment& environment,
                                               Kind kind) {
  MDB_txn* transaction = nullptr;
  const unsigned flags = kind == Kind::kRead ? MDB_RDONLY : 0;
  STEPWELL_RETURN_IF_ERROR(environment.ErrorOf(
      mdb_txn_begin(environment.get(), nullptr, flags, &transaction)));
  return Transaction(environment, transaction);
}

Transaction::Transaction(Transaction&& other) noexcept
    : environment_(other.environment_),
      transaction_(std::exchange(other.transaction_, nullptr)) {}

Transaction::~Transaction() {
  if (transaction_ != nullptr) mdb_txn_abort(transaction_);
}

void Transaction::Reset() { mdb_txn_reset(transaction_); }

absl::Status Transaction::Renew() {
  return environment_.ErrorOf(mdb_txn_renew(transaction_));
}

absl::StatusOr<std::optional<absl::string_view>> Transaction::Get(
    Table table, absl::string_view key) const {
  MDB_val key_value = ValueOf(key);
  MDB_val found{};
  const int code = mdb_get(transaction_, table, &key_value, &found);
  if (code == MDB_NOTFOUND) return std::nullopt;
  STEPWELL_RETURN_IF_ERROR(environment_.ErrorOf(code));
  return BytesOf(found);
}

absl::Status Transaction::Put(Table table, absl::string_view key,
                              absl::string_view value) {
  MDB_val key_value = ValueOf(key);
  MDB_val bytes = ValueOf(value);
  return environment_.ErrorOf(mdb_put(transaction_, table, &key_value, &bytes, 0));
}

absl::Status Transaction::Commit() {
  return environment_.ErrorOf(mdb_txn_commit(std::exchange(transaction_, nullptr)));
}

absl::StatusOr<Cursor> Cursor::Open(const Transaction& transaction, Table table) {
  MDB_cursor* cursor = nullptr;
  STEPWELL_RETURN_IF_ERROR(transaction.environment().ErrorOf(
      mdb_cursor_open(transaction.get(), table, &cursor)));
  return Cursor(transaction.environment(), cursor);
}

Cursor::Cursor(Cursor&& other) noexcept
    : environment_(other.environment_),
      cursor_(std::exchange(other.cursor_, nullptr)) {}

Cursor::~Cursor() {
  if (cursor_ != nullptr) mdb_cursor_close(cursor_);
}

absl::StatusOr<bool> Cursor::Move(MDB_cursor_op where, absl::string_view* key,
                                  absl::string_view* value) {
  MDB_val key_value = ValueOf(*key);
  MDB_val found{};
  const int code = mdb_cursor_get(cursor_, &key_value, &found, where);
  if (code == MDB_NOTFOUND) return false;
  STEPWELL_RETURN_IF_ERROR(environment_.ErrorOf(code));
  *key = BytesOf(key_value);
  *value = BytesOf(found);
  return true;
}

absl::Status Cursor::Delete() {
  return environment_.ErrorOf(mdb_cursor_del(cursor_, 0));
}

}  // namespace stepwell::lmdb
