// The head of a request: its fields as they come, then whether it is a call of gRPC.
#ifndef STEPWELL_CC_FRONT_REQUEST_HEAD_H_
#define STEPWELL_CC_FRONT_REQUEST_HEAD_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "cc/front/call.h"

namespace stepwell::front {

// Concurrency: one thread. Keeps no more than the limit.
class RequestHead {
 public:
  // Why a request is no call.
  struct Refusal {
    enum Kind { kMalformed, kTooLarge };
    Kind kind = kMalformed;
    int http_status = 200;  // another one: the peer does not speak gRPC
    CallStatus status;      // for http_status 200
  };

  explicit RequestHead(int64_t max_bytes) : max_bytes_(max_bytes) {}

  void Add(absl::string_view name, absl::string_view value);

  // After the last field.
  std::optional<Refusal> Check() const;

  const std::string& path() const { return path_; }

  // kNoDeadline without grpc-timeout.
  int64_t timeout_us() const { return timeout_us_; }

  Metadata TakeMetadata();

  // Of the metadata, until it is taken; as the limit counts them.
  int64_t held_bytes() const { return held_bytes_; }

 private:
  void AddMetadata(absl::string_view name, absl::string_view value);
  void AddBinary(absl::string_view name, absl::string_view value);
  bool HasRoom(absl::string_view name, absl::string_view value);
  void Blame(std::string message);

  const int64_t max_bytes_;
  int64_t num_bytes_ = 0;
  int64_t held_bytes_ = 0;
  bool is_post_ = false;
  bool is_grpc_ = false;
  int64_t timeout_us_ = kNoDeadline;
  std::string path_;
  std::string mistake_;
  Metadata metadata_;
};

}  // namespace stepwell::front

#endif  // STEPWELL_CC_FRONT_REQUEST_HEAD_H_
