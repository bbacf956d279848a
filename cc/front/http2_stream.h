// One stream of HTTP/2: a request while it is read, then its reply while it is written.
#ifndef STEPWELL_CC_FRONT_HTTP2_STREAM_H_
#define STEPWELL_CC_FRONT_HTTP2_STREAM_H_

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cc/front/call.h"
#include "cc/front/front_options.h"
#include "cc/front/grpc_wire.h"
#include "cc/front/message_reader.h"
#include "cc/front/request_head.h"

namespace stepwell::front {

// A message on its way out.
struct OutgoingMessage {
  std::array<char, kPrefixBytes> prefix;
  std::string message;
  size_t num_sent = 0;  // prefix included

  size_t num_left() const { return kPrefixBytes + message.size() - num_sent; }
};

struct Http2Stream {
  Http2Stream(int32_t number, const FrontOptions& options, int64_t now_us)
      : id(number),
        head(options.max_metadata_bytes),
        reader(options.max_message_bytes),
        started_us(now_us) {}

  const int32_t id;

  RequestHead head;
  MessageReader reader;
  const int64_t started_us;
  int method = 0;
  int64_t partial_bytes = 0;  // that were counted of what `reader` holds
  bool has_head = false;
  bool has_message = false;    // of a unary method: it waits in `reader`
  bool is_whole = false;       // the caller has said all
  bool is_refused = false;     // the rest of the request is not read
  std::shared_ptr<Call> call;  // once there is one

  std::vector<OutgoingMessage> outgoing;
  size_t next_outgoing = 0;
  int64_t unread_bytes = 0;                    // of `outgoing`
  int64_t* connection_unread_bytes = nullptr;  // of all streams of the connection
  bool has_sent_head = false;
  bool is_ended = false;        // `status` is the end, after `outgoing`
  bool is_end_written = false;  // the frame that ends it has gone out
  int64_t unread_since_us = 0;  // about when it was ended, 0: not seen yet
  CallStatus status;
};

}  // namespace stepwell::front

#endif  // STEPWELL_CC_FRONT_HTTP2_STREAM_H_
