// Replies as frames of HTTP/2.
#ifndef STEPWELL_CC_FRONT_REPLY_WRITER_H_
#define STEPWELL_CC_FRONT_REPLY_WRITER_H_

#include <nghttp2/nghttp2.h>

#include <string>

#include "cc/front/http2_stream.h"

namespace stepwell::front {

// What a caller reads of a status's message at most, before it is encoded.
inline constexpr size_t kMostStatusBytes = 2048;

// Of the trailers, as the caller's own limits are 8 KiB for most clients. Those over it
// are left out, and those whose names or values HTTP does not allow.
inline constexpr size_t kMostTrailerBytes = 6144;

// Submits frames to a session; nghttp2 sends them when it is asked for bytes. All
// return false when the session takes nothing more of this stream. Concurrency: the
// session's thread.
//
// A reply in one piece is HEADERS, DATA, HEADERS; an error without a message is one
// HEADERS. Source: grpc/doc/PROTOCOL-HTTP2.md, "Responses".
bool SubmitMessage(nghttp2_session* session, Http2Stream& stream, std::string message);
bool SubmitEnd(nghttp2_session* session, Http2Stream& stream, CallStatus status);

// A message and the status OK.
bool SubmitAnswer(nghttp2_session* session, Http2Stream& stream, std::string message);

// For a peer that does not speak gRPC: no body.
bool SubmitHttpStatus(nghttp2_session* session, Http2Stream& stream, int status);

}  // namespace stepwell::front

#endif  // STEPWELL_CC_FRONT_REPLY_WRITER_H_
