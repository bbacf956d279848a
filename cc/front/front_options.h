// What a front serves and within which bounds, and what it counts.
#ifndef STEPWELL_CC_FRONT_FRONT_OPTIONS_H_
#define STEPWELL_CC_FRONT_FRONT_OPTIONS_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "cc/front/protobuf_peek.h"

namespace stepwell::front {

struct MethodOptions {
  std::string path;        // "/package.Service/Method"
  bool queued = false;     // into the AdmissionQueue, else to the side
  bool streaming = false;  // messages come one by one, the side only
  // Field numbers of the message that are looked at before anybody parses it; 0: none.
  int priority_field = 0;  // 0 unspecified, 1 the most urgent, to 3
  int deadline_ms_field = 0;
  int key_field = 0;
  int forced_field = 0;
  // Of more entries the call has no message, only its excess.
  std::vector<EntryLimit> entry_limits;
};

struct FrontOptions {
  std::string host = "127.0.0.1";
  int port = 0;              // 0: the system chooses
  bool shared_port = false;  // several processes listen on it (SO_REUSEPORT)
  int64_t max_message_bytes = 256 << 10;
  // Of all fields of a request's head, 32 bytes of each being for its entry.
  int64_t max_metadata_bytes = 8 << 10;
  int64_t max_connections = 1024;
  int64_t max_streams_per_connection = 1024;
  // Of requests that have not come whole: of one connection, and of all.
  int64_t max_partial_bytes_per_connection = 8 << 20;
  int64_t max_partial_bytes = 256 << 20;
  // Answers of one connection that its caller has not read.
  int64_t max_unread_bytes = 32 << 20;
  // Calls and messages that nobody has taken from the side.
  int64_t max_side_events = 4096;
  int64_t max_connection_age_ms = 0;  // 0: for ever; +-10 % by chance
  int64_t connection_age_grace_ms = 60'000;
  // Of a queued call that brings none, and of every queued call at most; from its
  // arrival. By the second a request must also have come whole.
  int64_t default_deadline_us = 200'000;
  int64_t max_deadline_us = 60'000'000;
  int64_t preface_timeout_ms = 10'000;  // for the preface, and for a request's head
  int64_t keepalive_ms = 60'000;        // of silence, then a PING
  int64_t keepalive_timeout_ms = 20'000;
};

// OK or a FieldError that names the option.
absl::Status CheckOptions(const FrontOptions& options);
absl::Status CheckMethods(const std::vector<MethodOptions>& methods);

// Since the front was opened; all but num_open and num_connections only grow.
struct FrontCounters {
  int64_t num_calls = 0;        // heads of requests that are gRPC's
  int64_t num_open = 0;         // now
  int64_t num_connections = 0;  // now
  int64_t num_accepted = 0;     // connections
  int64_t num_rejected = 0;     // connections over the limit
  std::array<int64_t, 3> num_refused_overload = {};  // by priority
  int64_t num_refused_late = 0;  // no answer would make the deadline
  int64_t num_expired = 0;       // had not come whole by its deadline
  int64_t num_too_large = 0;
  int64_t num_metadata_too_large = 0;
  int64_t num_unknown_method = 0;
  int64_t num_malformed = 0;
  int64_t num_cancelled = 0;  // the caller went before the end
  int64_t bytes_in = 0;
  int64_t bytes_out = 0;
  int64_t num_given = 0;    // connections, to siblings
  int64_t num_adopted = 0;  // of num_accepted and num_rejected those that siblings gave
  int64_t num_unusable = 0;  // of what siblings gave: closed, it was no connection
};

}  // namespace stepwell::front

#endif  // STEPWELL_CC_FRONT_FRONT_OPTIONS_H_
