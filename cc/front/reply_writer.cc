#include "cc/front/reply_writer.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace stepwell::front {
namespace {

nghttp2_nv Field(absl::string_view name, absl::string_view value,
                 uint8_t flags = NGHTTP2_NV_FLAG_NONE) {
  return {reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
          reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(),
          value.size(), flags};
}

// Of constants, which nghttp2 need not copy.
nghttp2_nv ConstantField(absl::string_view name, absl::string_view value) {
  return Field(name, value,
               NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE);
}

nghttp2_nv StatusOk() { return ConstantField(":status", "200"); }
nghttp2_nv ContentType() { return ConstantField("content-type", "application/grpc"); }

bool IsAllowed(absl::string_view name, absl::string_view value) {
  return nghttp2_check_header_name(reinterpret_cast<const uint8_t*>(name.data()),
                                   name.size()) != 0 &&
         nghttp2_check_header_value(reinterpret_cast<const uint8_t*>(value.data()),
                                    value.size()) != 0;
}

// A status as fields, and the texts that those point into.
class StatusFields {
 public:
  explicit StatusFields(const CallStatus& status) : code_(absl::StrCat(status.code)) {
    fields_.push_back(Field("grpc-status", code_));
    if (!status.message.empty()) {
      message_ =
          PercentEncode(absl::string_view(status.message).substr(0, kMostStatusBytes));
      fields_.push_back(Field("grpc-message", message_));
    }
    values_.reserve(status.trailers.size());
    for (const auto& [name, value] : status.trailers) AddTrailer(name, value);
  }

  const std::vector<nghttp2_nv>& fields() const { return fields_; }

 private:
  void AddTrailer(const std::string& name, const std::string& value) {
    values_.push_back(absl::EndsWith(name, "-bin") ? Base64Encode(value) : value);
    const size_t size = name.size() + values_.back().size();
    if (num_bytes_ + size > kMostTrailerBytes || !IsAllowed(name, values_.back()))
      return;
    num_bytes_ += size;
    fields_.push_back(Field(name, values_.back()));
  }

  const std::string code_;
  std::string message_;
  std::vector<std::string> values_;  // reserved: the fields point into it
  size_t num_bytes_ = 0;
  std::vector<nghttp2_nv> fields_;
};

bool SubmitTrailers(nghttp2_session* session, const Http2Stream& stream) {
  if (stream.status.code == kCodeOk && stream.status.trailers.empty()) {
    const nghttp2_nv ok = ConstantField("grpc-status", "0");
    return nghttp2_submit_trailer(session, stream.id, &ok, 1) == 0;
  }
  const StatusFields status(stream.status);
  return nghttp2_submit_trailer(session, stream.id, status.fields().data(),
                                status.fields().size()) == 0;
}

void CountUnread(Http2Stream& stream, int64_t change) {
  stream.unread_bytes += change;
  *stream.connection_unread_bytes += change;
}

// Up to `room` bytes of what waits.
size_t CopyOut(Http2Stream& stream, uint8_t* target, size_t room) {
  size_t num_copied = 0;
  while (num_copied < room && stream.next_outgoing < stream.outgoing.size()) {
    OutgoingMessage& message = stream.outgoing[stream.next_outgoing];
    const bool in_prefix = message.num_sent < kPrefixBytes;
    const char* source =
        in_prefix ? message.prefix.data() + message.num_sent
                  : message.message.data() + (message.num_sent - kPrefixBytes);
    const size_t left =
        in_prefix ? kPrefixBytes - message.num_sent : message.num_left();
    const size_t size = std::min(left, room - num_copied);
    std::memcpy(target + num_copied, source, size);
    message.num_sent += size;
    num_copied += size;
    if (message.num_left() == 0) ++stream.next_outgoing;
  }
  if (stream.next_outgoing == stream.outgoing.size()) {
    stream.outgoing.clear();
    stream.next_outgoing = 0;
  }
  CountUnread(stream, -static_cast<int64_t>(num_copied));
  return num_copied;
}

ssize_t ReadOutgoing(nghttp2_session* session, int32_t, uint8_t* buffer, size_t room,
                     uint32_t* data_flags, nghttp2_data_source* source, void*) {
  Http2Stream& stream = *static_cast<Http2Stream*>(source->ptr);
  const size_t size = CopyOut(stream, buffer, room);
  if (!stream.outgoing.empty()) return static_cast<ssize_t>(size);
  if (!stream.is_ended) {
    if (size == 0) return NGHTTP2_ERR_DEFERRED;
    return static_cast<ssize_t>(size);
  }
  *data_flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
  if (!SubmitTrailers(session, stream)) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  return static_cast<ssize_t>(size);
}

void Push(Http2Stream& stream, std::string message) {
  stream.outgoing.push_back({MessagePrefix(message.size()), std::move(message)});
  CountUnread(stream, static_cast<int64_t>(stream.outgoing.back().num_left()));
}

// The head when it has not gone, and the sign that there is something to read.
bool Start(nghttp2_session* session, Http2Stream& stream) {
  if (stream.has_sent_head) {
    const int error = nghttp2_session_resume_data(session, stream.id);
    // It is not deferred while its bytes are still on their way: nothing to resume.
    return error == 0 || error == NGHTTP2_ERR_INVALID_ARGUMENT;
  }
  stream.has_sent_head = true;
  const nghttp2_nv head[] = {StatusOk(), ContentType()};
  nghttp2_data_provider provider;
  provider.source.ptr = &stream;
  provider.read_callback = ReadOutgoing;
  return nghttp2_submit_response(session, stream.id, head, std::size(head),
                                 &provider) == 0;
}

}  // namespace

bool SubmitMessage(nghttp2_session* session, Http2Stream& stream, std::string message) {
  if (stream.is_ended) return true;
  Push(stream, std::move(message));
  return Start(session, stream);
}

bool SubmitAnswer(nghttp2_session* session, Http2Stream& stream, std::string message) {
  if (stream.is_ended) return true;
  stream.is_ended = true;
  Push(stream, std::move(message));
  return Start(session, stream);
}

bool SubmitEnd(nghttp2_session* session, Http2Stream& stream, CallStatus status) {
  if (stream.is_ended) return true;
  stream.is_ended = true;
  stream.status = std::move(status);
  if (stream.has_sent_head) return Start(session, stream);
  stream.has_sent_head = true;
  const StatusFields fields(stream.status);
  std::vector<nghttp2_nv> head = {StatusOk(), ContentType()};
  head.insert(head.end(), fields.fields().begin(), fields.fields().end());
  return nghttp2_submit_response(session, stream.id, head.data(), head.size(),
                                 nullptr) == 0;
}

bool SubmitHttpStatus(nghttp2_session* session, Http2Stream& stream, int status) {
  stream.is_ended = stream.has_sent_head = true;
  const std::string code = absl::StrCat(status);
  const nghttp2_nv head[] = {Field(":status", code)};
  return nghttp2_submit_response(session, stream.id, head, std::size(head), nullptr) ==
         0;
}

}  // namespace stepwell::front
