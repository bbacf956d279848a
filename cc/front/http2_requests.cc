// The half of Http2Connection that reads: from the head of a request to its call.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "cc/front/http2_connection.h"
#include "cc/front/protobuf_peek.h"
#include "cc/front/reply_writer.h"

namespace stepwell::front {
namespace {

// Streams that a peer may give up before their answer: so many at once, as a proxy does
// that loses its own callers, and so many a second for long.
constexpr int64_t kResetBurst = 1'000;
constexpr int64_t kUsPerReset = 1'000'000 / 200;

// Frames that neither ask nor bring anything: WINDOW_UPDATE, PING, SETTINGS, PRIORITY,
// empty DATA. So many at once, so many for each frame that does, and so many a tick.
constexpr int64_t kMostIdleFrames = 10'000;
constexpr int64_t kIdleFramesForEach = 8;

// A field that the table of HPACK holds is named by one byte: what a block unpacks to
// before it is given up, without a status then.
constexpr int64_t kMostBlockBytes = 256 << 10;
constexpr int64_t kEntryBytes = 32;

constexpr int64_t kUsPerMs = 1'000;

int64_t Sum(int64_t from_us, int64_t length_us) {
  return length_us > kNoDeadline - from_us ? kNoDeadline : from_us + length_us;
}

// Of the message's own field; 0 or less is none.
int64_t DeadlineOf(int64_t arrived_us, int64_t deadline_ms) {
  if (deadline_ms <= 0) return kNoDeadline;
  const int64_t most_ms = kNoDeadline / kUsPerMs;
  return Sum(arrived_us, std::min(deadline_ms, most_ms) * kUsPerMs);
}

// From the wire, 0 unspecified and 1 to 3, to 0 to 2.
int PriorityOf(int64_t value) {
  return static_cast<int>(std::clamp<int64_t>(value, 1, 3) - 1);
}

}  // namespace

void Http2Connection::CountFrame(bool is_useful) {
  if (is_useful) {
    num_idle_frames_ = std::max<int64_t>(0, num_idle_frames_ - kIdleFramesForEach);
  } else if (++num_idle_frames_ > kMostIdleFrames) {
    nghttp2_session_terminate_session(session_, NGHTTP2_ENHANCE_YOUR_CALM);
  }
}

// False when the block is too long to be looked at: its stream is reset.
bool Http2Connection::CountField(int32_t id, size_t num_bytes) {
  block_bytes_ += static_cast<int64_t>(num_bytes) + kEntryBytes;
  const int64_t most_bytes =
      std::max(kMostBlockBytes, 4 * context_->options.max_metadata_bytes);
  if (block_bytes_ <= most_bytes) return true;
  context_->counters.num_metadata_too_large.Add(1);
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, NGHTTP2_ENHANCE_YOUR_CALM);
  return false;
}

void Http2Connection::BeginStream(int32_t id) {
  auto stream = std::make_unique<Http2Stream>(id, context_->options, now_us_);
  stream->connection_unread_bytes = &unread_bytes_;
  streams_[id] = std::move(stream);
  head_begun_us_ = now_us_;
  context_->counters.num_open.Add(1);
}

void Http2Connection::AddField(int32_t id, absl::string_view name,
                               absl::string_view value) {
  Http2Stream* stream = Find(id);
  if (stream != nullptr) stream->head.Add(name, value);
}

void Http2Connection::EndHead(Http2Stream& stream) {
  stream.has_head = true;
  head_begun_us_ = 0;
  LiveCounters& counters = context_->counters;
  const std::optional<RequestHead::Refusal> refusal = stream.head.Check();
  if (refusal.has_value() && refusal->http_status != 200) {
    counters.num_malformed.Add(1);
    stream.is_refused = true;
    ResetIf(!SubmitHttpStatus(session_, stream, refusal->http_status), stream);
    return;
  }
  counters.num_calls.Add(1);
  if (refusal.has_value()) {
    const bool too_large = refusal->kind == RequestHead::Refusal::kTooLarge;
    return Refuse(
        stream, too_large ? &counters.num_metadata_too_large : &counters.num_malformed,
        refusal->status.code, refusal->status.message);
  }
  const std::optional<int> method = context_->methods.Find(stream.head.path());
  if (!method.has_value()) {
    return Refuse(stream, &counters.num_unknown_method, kCodeUnimplemented,
                  absl::StrCat("unknown method ", stream.head.path()));
  }
  stream.method = *method;
  if (context_->methods[*method].streaming) OpenCall(stream, "");
  CheckPartialBytes(stream);
}

void Http2Connection::AddBytes(Http2Stream& stream, absl::string_view bytes) {
  ReadMessages(stream, bytes);
  CheckPartialBytes(stream);
}

// Of all connections that hold too much together those are refused that hold more than
// one request: a few must not be able to hold back all others.
void Http2Connection::CheckPartialBytes(Http2Stream& stream) {
  CountPartial(stream);
  const FrontOptions& options = context_->options;
  const int64_t request_bytes = options.max_message_bytes + options.max_metadata_bytes;
  const bool is_too_much = partial_bytes_ > options.max_partial_bytes_per_connection ||
                           (context_->partial_bytes > options.max_partial_bytes &&
                            partial_bytes_ > request_bytes);
  if (!is_too_much) return;
  Refuse(stream, &context_->counters.num_too_large, kCodeResourceExhausted,
         "too many bytes of requests that have not come whole");
}

void Http2Connection::ReadMessages(Http2Stream& stream, absl::string_view bytes) {
  while (!bytes.empty() && !stream.is_refused && !stream.is_ended) {
    if (stream.has_message) {
      return Refuse(stream, &context_->counters.num_malformed, kCodeUnimplemented,
                    "the method takes one message, more came");
    }
    const MessageReader::Result result = stream.reader.Read(&bytes);
    if (result == MessageReader::kMessage) {
      TakeMessage(stream);
    } else if (result != MessageReader::kNeedsMore) {
      return RefuseUnreadable(stream, result);
    }
  }
}

void Http2Connection::TakeMessage(Http2Stream& stream) {
  if (context_->methods[stream.method].streaming) {
    ToSide(stream, SideEvent::kMessage, stream.reader.Take());
  } else {
    stream.has_message = true;
  }
}

void Http2Connection::RefuseUnreadable(Http2Stream& stream,
                                       MessageReader::Result result) {
  LiveCounters& counters = context_->counters;
  if (result == MessageReader::kTooLarge) {
    Refuse(
        stream, &counters.num_too_large, kCodeResourceExhausted,
        absl::StrCat("request is ", stream.reader.claimed_bytes(),
                     " bytes, must be at most ", context_->options.max_message_bytes));
  } else if (result == MessageReader::kCompressed) {
    Refuse(stream, &counters.num_malformed, kCodeUnimplemented,
           "the message is compressed, only identity is understood");
  } else {
    Refuse(stream, &counters.num_malformed, kCodeInternal,
           "the message does not begin with its flag and length");
  }
}

void Http2Connection::EndRequest(Http2Stream& stream) {
  stream.is_whole = true;
  if (stream.is_refused) return;
  LiveCounters& counters = context_->counters;
  if (stream.reader.is_inside() && !stream.has_message) {
    return Refuse(stream, &counters.num_malformed, kCodeInternal,
                  "the request ends inside of a message");
  }
  if (context_->methods[stream.method].streaming) {
    return ToSide(stream, SideEvent::kHalfClosed, "");
  }
  if (!stream.has_message) {
    return Refuse(stream, &counters.num_malformed, kCodeUnimplemented,
                  "the method takes one message, none came");
  }
  OpenCall(stream, stream.reader.Take());
  CountPartial(stream);
  if (context_->methods[stream.method].queued) {
    context_->handler->OnCall(stream.call);
  } else {
    ToSide(stream, SideEvent::kMessage, std::string(stream.call->message()));
  }
}

void Http2Connection::OpenCall(Http2Stream& stream, std::string message) {
  const MethodOptions& method = context_->methods[stream.method];
  const Peeked peeked =
      Peek(message, {method.priority_field, method.deadline_ms_field, method.key_field,
                     method.forced_field, method.entry_limits});
  CallFields fields;
  fields.method = stream.method;
  fields.arrived_us = now_us_;
  const int64_t timeout_us = stream.head.timeout_us();
  fields.has_grpc_deadline = timeout_us != kNoDeadline;
  fields.deadline_us = std::min(Sum(stream.started_us, timeout_us),
                                DeadlineOf(now_us_, peeked.deadline_ms));
  if (method.queued) fields.deadline_us = Bounded(fields.deadline_us);
  fields.priority = PriorityOf(peeked.priority);
  fields.key_hash = KeyHash(peeked.key);
  fields.is_forced = peeked.forced != 0;
  fields.metadata = stream.head.TakeMetadata();
  fields.connection = id_;
  fields.stream = stream.id;
  fields.excess = peeked.excess;
  // Nobody is to parse what only takes memory.
  if (peeked.excess.field == 0) fields.message = std::move(message);
  stream.call = std::make_shared<Call>(std::move(fields), context_->sink);
}

int64_t Http2Connection::Bounded(int64_t deadline_us) const {
  const FrontOptions& options = context_->options;
  if (deadline_us == kNoDeadline) deadline_us = now_us_ + options.default_deadline_us;
  return std::min(deadline_us, now_us_ + options.max_deadline_us);
}

void Http2Connection::ToSide(Http2Stream& stream, SideEvent::Kind kind,
                             std::string message) {
  if (stream.call->is_ended()) return;
  if (context_->handler->OnSide({stream.call, kind, std::move(message)})) return;
  stream.call->Fail({kCodeResourceExhausted, "too many calls are waiting", {}});
}

// Ends a stream that is no call, or that broke the rules in the middle of one.
void Http2Connection::Refuse(Http2Stream& stream, LiveCounter* counter, int code,
                             std::string message) {
  if (stream.is_refused || stream.is_ended) return;
  stream.is_refused = true;
  ForgetRequest(stream);
  if (counter != nullptr) counter->Add(1);
  if (stream.call != nullptr) CancelCall(stream.call);
  ResetIf(!SubmitEnd(session_, stream, {code, std::move(message), {}}), stream);
}

void Http2Connection::CancelCall(const std::shared_ptr<Call>& call) {
  call->Cancel();
  if (!call->is_ended()) context_->handler->OnCancelled(call);
}

void Http2Connection::ForgetRequest(Http2Stream& stream) {
  stream.head.TakeMetadata();
  stream.reader.Take();
  CountPartial(stream);
}

void Http2Connection::CountPartial(Http2Stream& stream) {
  const int64_t held_bytes = stream.head.held_bytes() + stream.reader.held_bytes();
  const int64_t change = held_bytes - stream.partial_bytes;
  stream.partial_bytes += change;
  partial_bytes_ += change;
  context_->partial_bytes += change;
}

void Http2Connection::AfterLastFrame(int32_t id) {
  Http2Stream* stream = Find(id);
  if (stream == nullptr) return;
  stream->is_end_written = true;
  if (stream->is_whole) return;
  // The reply is whole and the rest of the request is of no use to anybody.
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, NGHTTP2_NO_ERROR);
}

void Http2Connection::EndStream(int32_t id, uint32_t error_code) {
  Http2Stream* stream = Find(id);
  const bool is_answered = stream != nullptr && stream->is_end_written;
  if (error_code != NGHTTP2_NO_ERROR && !is_answered) ChargeReset();
  if (stream == nullptr) return;
  if (!stream->has_head) head_begun_us_ = 0;
  CloseStream(*stream);
  streams_.erase(id);
}

void Http2Connection::CloseStream(Http2Stream& stream) {
  context_->counters.num_open.Add(-1);
  ForgetRequest(stream);
  unread_bytes_ -= stream.unread_bytes;
  if (stream.is_ended) return;
  context_->counters.num_cancelled.Add(1);
  if (stream.call != nullptr) CancelCall(stream.call);
}

void Http2Connection::ChargeReset() {
  reset_debt_us_ = std::max(reset_debt_us_, now_us_) + kUsPerReset;
  if (reset_debt_us_ - now_us_ <= kResetBurst * kUsPerReset) return;
  nghttp2_session_terminate_session(session_, NGHTTP2_ENHANCE_YOUR_CALM);
}

}  // namespace stepwell::front
