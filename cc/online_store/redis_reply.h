// What a Redis server replies to MGET, in both versions of its protocol (RESP2, RESP3).
#ifndef STEPWELL_CC_ONLINE_STORE_REDIS_REPLY_H_
#define STEPWELL_CC_ONLINE_STORE_REDIS_REPLY_H_

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cc/online_store/blob.h"

namespace stepwell::online_store {

// Either blobs, or what the server says is wrong.
struct RedisReply {
  std::vector<Blob> blobs;
  std::optional<std::string> error;
};

// Reads the first reply of `bytes`, a simple one ("+OK") as one of no blobs. What the
// server sends unasked is passed by.
//
// Returns how many bytes that took, 0 while the reply is not all there; DataLoss for
// what is no such reply. Cost: a look at each blob's length, and a copy once all is
// there.
absl::StatusOr<size_t> ReadReply(absl::string_view bytes, RedisReply& reply);

}  // namespace stepwell::online_store

#endif  // STEPWELL_CC_ONLINE_STORE_REDIS_REPLY_H_
