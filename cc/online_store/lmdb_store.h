// The online store embedded in the process: blobs by key in one file of LMDB.
#ifndef STEPWELL_CC_ONLINE_STORE_LMDB_STORE_H_
#define STEPWELL_CC_ONLINE_STORE_LMDB_STORE_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "cc/lmdb/environment.h"
#include "cc/online_store/blob.h"

namespace stepwell::online_store {

// What a guarded write expects to find: nullopt means nothing there.
struct Guard {
  std::string key;
  Blob expected;
};

// Concurrency: thread-safe, and several processes may share one folder. Readers never
// wait for writers; a write is seen whole or not at all.
// Errors: as lmdb::Environment; pages that contradict each other after it was opened
// are Unavailable too, for other rows may still be read.
class LmdbStore {
 public:
  // Opens or creates the folder. After a power cut it is as of some earlier write.
  static absl::StatusOr<std::unique_ptr<LmdbStore>> Open(std::string path,
                                                         int64_t map_size_bytes);

  // The blob of each key in order, all of one moment. Cost: about 0.5 us a key in
  // memory.
  absl::StatusOr<std::vector<Blob>> Get(absl::Span<const std::string> keys) const;

  // Writes all or nothing, on disk when it returns. False, and nothing is written, when
  // the guard's blob is another one.
  absl::StatusOr<bool> Write(
      const std::optional<Guard>& guard,
      absl::Span<const std::pair<absl::string_view, absl::string_view>> entries);

 private:
  LmdbStore(std::unique_ptr<lmdb::Environment> environment, lmdb::Table table)
      : environment_(std::move(environment)), table_(table) {}

  absl::StatusOr<lmdb::Transaction> Reader() const;
  absl::StatusOr<std::vector<Blob>> GetIn(const lmdb::Transaction& reader,
                                          absl::Span<const std::string> keys) const;
  absl::StatusOr<bool> Holds(const lmdb::Transaction& transaction,
                             const Guard& guard) const;

  const std::unique_ptr<lmdb::Environment> environment_;
  const lmdb::Table table_;
  mutable std::mutex mutex_;
  // Readers that were reset: to begin one anew costs a search for a free slot.
  mutable std::vector<lmdb::Transaction> idle_readers_;
};

}  // namespace stepwell::online_store

#endif  // STEPWELL_CC_ONLINE_STORE_LMDB_STORE_H_
