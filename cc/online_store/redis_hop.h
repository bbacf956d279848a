// One question to a Redis server and its reply: three system calls, no Python.
#ifndef STEPWELL_CC_ONLINE_STORE_REDIS_HOP_H_
#define STEPWELL_CC_ONLINE_STORE_REDIS_HOP_H_

#include <chrono>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "cc/online_store/redis_reply.h"

namespace stepwell::online_store {

// A connection between two calls.
//
// Concurrency: one thread at a time.
// Errors: DeadlineExceeded when time is up, Unavailable when the server has closed the
// connection, DataLoss for what is no reply. After any of them the hop is used no more:
// the next reply would not be its own.
class RedisHop {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  // Borrows a connected socket that does not block and on which nothing is on its way.
  explicit RedisHop(int descriptor);

  // What MGET replies, as many blobs as keys unless it is an error of the server's.
  //
  // What is there when a busy machine lets this thread look at last is taken, late or
  // not: the server was in time. Once only, or a flood would have no end.
  //
  // `asking`: the keys are on their way to this node of a cluster, which answers for
  // them only when it is told so.
  absl::StatusOr<RedisReply> MGet(absl::Span<const absl::string_view> keys, bool asking,
                                  TimePoint end);

 private:
  absl::Status Send(absl::string_view command, TimePoint end);
  absl::StatusOr<RedisReply> Receive(TimePoint end, int& num_looks);
  // Waits for more bytes and takes what is there.
  absl::Status TakeMore(TimePoint end, int& num_looks);

  const int descriptor_;
  std::vector<char> buffer_;
  size_t num_filled_ = 0;
};

}  // namespace stepwell::online_store

#endif  // STEPWELL_CC_ONLINE_STORE_REDIS_HOP_H_
