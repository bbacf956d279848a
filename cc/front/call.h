// One call of a caller: what it asked, and the one way to answer it.
#ifndef STEPWELL_CC_FRONT_CALL_H_
#define STEPWELL_CC_FRONT_CALL_H_

#include <atomic>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "cc/front/protobuf_peek.h"

namespace stepwell::front {

inline constexpr int64_t kNoDeadline = std::numeric_limits<int64_t>::max();

// Names in lower case. A value of a name that ends in "-bin" is raw bytes here; base64
// is of the wire alone.
using Metadata = std::vector<std::pair<std::string, std::string>>;

struct CallStatus {
  int code = 0;  // of gRPC; 0 ends a streaming call well
  std::string message;
  Metadata trailers;
};

class Call;

// What a call says back, on its way to the caller.
struct Reply {
  enum Kind { kAnswer, kFail, kSend };
  std::shared_ptr<Call> call;
  Kind kind = kAnswer;
  std::string message;  // of kAnswer and kSend
  CallStatus status;    // of kFail
};

// Where replies go. Concurrency: thread-safe. Cost: a lock and a move.
class ReplySink {
 public:
  virtual ~ReplySink() = default;
  virtual void Post(Reply reply) = 0;
};

struct CallFields {
  int method = 0;       // the index of its MethodOptions
  std::string message;  // the whole request of a unary method, else empty
  int64_t arrived_us = 0;
  int64_t deadline_us = kNoDeadline;
  bool has_grpc_deadline = false;
  int priority = 0;
  uint64_t key_hash = 0;
  bool is_forced = false;
  Excess excess = {};
  Metadata metadata;
  uint64_t connection = 0;  // with `stream`, where an answer goes; 0: nowhere
  int32_t stream = 0;
};

// Shared by the connection, the queue and whoever answers. Concurrency: thread-safe;
// the fields never change. All times are microseconds of Clock::Steady.
class Call : public std::enable_shared_from_this<Call> {
 public:
  // Nothing is answered without a sink.
  Call(CallFields fields, std::shared_ptr<ReplySink> sink)
      : fields_(std::move(fields)), sink_(std::move(sink)) {}

  int method() const { return fields_.method; }
  absl::string_view message() const { return fields_.message; }

  // When the read that completed the request returned.
  int64_t arrived_us() const { return fields_.arrived_us; }

  // The earlier of what gRPC and the message's own field say, within what the front
  // allows; kNoDeadline for neither, and then of a queued call the front's default.
  int64_t deadline_us() const { return fields_.deadline_us; }
  bool has_grpc_deadline() const { return fields_.has_grpc_deadline; }

  // 0 is the most urgent, 2 the least.
  int priority() const { return fields_.priority; }

  // Of the message's key field; equal keys have equal hashes.
  uint64_t key_hash() const { return fields_.key_hash; }

  // The message asks for one tier.
  bool is_forced() const { return fields_.is_forced; }

  // A list of the message that is too long; the message itself is then forgotten.
  const Excess& excess() const { return fields_.excess; }

  // What the caller sent, without what the protocol itself needs.
  const Metadata& metadata() const { return fields_.metadata; }

  const std::shared_ptr<ReplySink>& sink() const { return sink_; }
  uint64_t connection() const { return fields_.connection; }
  int32_t stream() const { return fields_.stream; }

  // The caller has gone or does not want the answer any more; stays true.
  bool is_cancelled() const { return is_cancelled_.load(std::memory_order_relaxed); }
  void Cancel() { is_cancelled_.store(true, std::memory_order_relaxed); }

  // It was answered or failed.
  bool is_ended() const { return is_ended_.load(std::memory_order_relaxed); }

  // Ends: the first one counts, later ones do nothing. Any thread. Cost: a lock and a
  // move; no system call unless the I/O thread sleeps.
  void Answer(std::string message);
  void Fail(CallStatus status);

  // Sends one message of a streaming method and does not end. Nothing after an end.
  void Send(std::string message);

 private:
  void Post(Reply::Kind kind, std::string message, CallStatus status);
  bool End() { return !is_ended_.exchange(true, std::memory_order_relaxed); }

  const CallFields fields_;
  const std::shared_ptr<ReplySink> sink_;
  std::atomic<bool> is_cancelled_{false};
  std::atomic<bool> is_ended_{false};
};

}  // namespace stepwell::front

#endif  // STEPWELL_CC_FRONT_CALL_H_
