#include "cc/front/http2_connection.h"

#include <algorithm>

#include "cc/front/http2_callbacks.h"
#include "cc/front/reply_writer.h"

namespace stepwell::front {
namespace {

constexpr int64_t kUsPerMs = 1'000;

// All streams of a connection together; a stream alone may send a whole message.
constexpr int32_t kConnectionWindowBytes = 4 << 20;

// Frames of no use that a peer may send between two ticks, for long.
constexpr int64_t kIdleFramesATick = 100;

constexpr int32_t kLeastStreamWindowBytes = 65'535;

// A peer that has seen GOAWAY answers a PING at once; one that does not is not waited
// for.
constexpr int64_t kDrainPingUs = 1'000'000;

// A peer that has not read so long after EndAll will not.
constexpr int64_t kLastWordsUs = 1'000'000;

constexpr absl::string_view kDrainPing = "draining";
constexpr absl::string_view kKeepalivePing = "keepaliv";

// SETTINGS_NO_RFC7540_PRIORITIES of RFC 9218: no tree of streams is kept for the peer.
constexpr int32_t kNoPriorities = 9;

// Between 0.9 and 1.1, another one for each of neighbouring ids: connections that came
// together do not go together.
double Jitter(uint64_t id) {
  const uint64_t mixed = id * 0x9E3779B97F4A7C15u >> 32;
  return 0.9 + 0.2 * static_cast<double>(mixed) / 4294967296.0;
}

int64_t Expiry(const FrontOptions& options, uint64_t id, int64_t now_us) {
  if (options.max_connection_age_ms == 0) return kNoDeadline;
  const double age_us = static_cast<double>(options.max_connection_age_ms * kUsPerMs);
  return now_us + static_cast<int64_t>(age_us * Jitter(id));
}

}  // namespace

Http2Connection::Http2Connection(uint64_t id, FrontContext* context, int64_t now_us)
    : id_(id),
      context_(context),
      now_us_(now_us),
      opened_us_(now_us),
      expires_us_(Expiry(context->options, id, now_us)),
      last_heard_us_(now_us) {
  OpenSession();
}

Http2Connection::~Http2Connection() {
  Lose();
  nghttp2_session_del(session_);
}

void Http2Connection::OpenSession() {
  session_ = NewServerSession(this);
  const FrontOptions& options = context_->options;
  const int64_t stream_window = std::max<int64_t>(
      kLeastStreamWindowBytes, options.max_message_bytes + int64_t{kPrefixBytes});
  const nghttp2_settings_entry settings[] = {
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS,
       static_cast<uint32_t>(options.max_streams_per_connection)},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, static_cast<uint32_t>(stream_window)},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE,
       static_cast<uint32_t>(options.max_metadata_bytes)},
      {kNoPriorities, 1},
  };
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, std::size(settings));
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0,
                                        kConnectionWindowBytes);
}

Http2Stream* Http2Connection::Find(int32_t stream) {
  const auto found = streams_.find(stream);
  return found == streams_.end() ? nullptr : found->second.get();
}

void Http2Connection::Receive(absl::string_view bytes, int64_t now_us) {
  now_us_ = last_heard_us_ = now_us;
  ping_sent_us_ = 0;
  context_->counters.bytes_in.Add(static_cast<int64_t>(bytes.size()));
  const ssize_t used = nghttp2_session_mem_recv(
      session_, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  if (used < 0) is_broken_ = true;
}

void Http2Connection::NoteReading(int64_t now_us) {
  last_heard_us_ = now_us;
  // A PING stands behind what waits.
  if (ping_sent_us_ != 0) ping_sent_us_ = now_us;
}

void Http2Connection::Gather(size_t size, std::string* bytes) {
  const size_t before = bytes->size();
  while (bytes->size() - before < size) {
    const uint8_t* frame = nullptr;
    const ssize_t length = nghttp2_session_mem_send(session_, &frame);
    if (length < 0) is_broken_ = true;
    if (length <= 0) break;
    bytes->append(reinterpret_cast<const char*>(frame), static_cast<size_t>(length));
  }
  context_->counters.bytes_out.Add(static_cast<int64_t>(bytes->size() - before));
}

void Http2Connection::Write(Reply reply) {
  Http2Stream* stream = Find(reply.call->stream());
  if (stream == nullptr || stream->call != reply.call) return;
  bool taken = true;
  switch (reply.kind) {
    case Reply::kAnswer:
      taken = SubmitAnswer(session_, *stream, std::move(reply.message));
      break;
    case Reply::kSend:
      taken = SubmitMessage(session_, *stream, std::move(reply.message));
      break;
    case Reply::kFail:
      taken = SubmitEnd(session_, *stream, std::move(reply.status));
      break;
  }
  ResetIf(!taken, *stream);
  if (unread_bytes_ > context_->options.max_unread_bytes) {
    nghttp2_session_terminate_session(session_, NGHTTP2_ENHANCE_YOUR_CALM);
  }
}

void Http2Connection::ResetIf(bool failed, const Http2Stream& stream) {
  if (!failed) return;
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream.id,
                            NGHTTP2_INTERNAL_ERROR);
}

void Http2Connection::Tick(int64_t now_us) {
  now_us_ = now_us;
  num_idle_frames_ = std::max<int64_t>(0, num_idle_frames_ - kIdleFramesATick);
  CheckSilence();
  CheckStreams();
  CheckAge();
}

void Http2Connection::CheckSilence() {
  const FrontOptions& options = context_->options;
  const int64_t preface_us = options.preface_timeout_ms * kUsPerMs;
  if (!has_settings_ && now_us_ - opened_us_ > preface_us) is_broken_ = true;
  if (head_begun_us_ != 0 && now_us_ - head_begun_us_ > preface_us) is_broken_ = true;
  if (ping_sent_us_ != 0) {
    const int64_t waited_us = now_us_ - ping_sent_us_;
    if (waited_us > options.keepalive_timeout_ms * kUsPerMs) is_broken_ = true;
  } else if (now_us_ - last_heard_us_ > options.keepalive_ms * kUsPerMs) {
    Ping(kKeepalivePing);
    ping_sent_us_ = now_us_;
  }
}

void Http2Connection::CheckAge() {
  if (now_us_ >= expires_us_ && drain_step_ == kServing) {
    is_aged_ = true;
    Drain(now_us_);
  }
  if (drain_step_ == kNoticed && now_us_ - drained_us_ > kDrainPingUs) SayLastStream();
  const int64_t grace_us = context_->options.connection_age_grace_ms * kUsPerMs;
  if (is_aged_ && now_us_ - drained_us_ > grace_us) {
    is_aged_ = false;
    EndAll({kCodeUnavailable, "the connection has reached its age", {}}, now_us_);
  }
  if (ended_us_ != 0 && now_us_ - ended_us_ > kLastWordsUs) is_broken_ = true;
}

void Http2Connection::CheckStreams() {
  for (const auto& [id, stream] : streams_) {
    if (IsLate(*stream)) {
      Refuse(*stream, &context_->counters.num_expired, kCodeDeadlineExceeded,
             "the request has not come whole in time");
    }
    if (stream->is_ended) DropUnread(*stream);
  }
}

// A request that has not come whole in time.
bool Http2Connection::IsLate(const Http2Stream& stream) const {
  if (!stream.has_head || stream.is_whole || stream.call != nullptr) return false;
  const int64_t allowed_us =
      std::min(stream.head.timeout_us(), context_->options.max_deadline_us);
  return now_us_ - stream.started_us > allowed_us;
}

// A peer that opens no window keeps its answers here, and must not do so for ever.
void Http2Connection::DropUnread(Http2Stream& stream) {
  if (stream.unread_since_us == 0) stream.unread_since_us = now_us_;
  if (now_us_ - stream.unread_since_us <= context_->options.max_deadline_us) return;
  stream.unread_since_us = now_us_;
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream.id, NGHTTP2_CANCEL);
}

void Http2Connection::Drain(int64_t now_us) {
  if (drain_step_ != kServing) return;
  drain_step_ = kNoticed;
  drained_us_ = now_us_ = now_us;
  nghttp2_submit_shutdown_notice(session_);
}

// nghttp2 would send a PING before a GOAWAY that waits, and its answer would say
// nothing.
void Http2Connection::AfterGoaway() {
  if (drain_step_ == kNoticed) Ping(kDrainPing);
}

void Http2Connection::SayLastStream() {
  drain_step_ = kLastStreamSaid;
  nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE,
                        nghttp2_session_get_last_proc_stream_id(session_),
                        NGHTTP2_NO_ERROR, nullptr, 0);
}

void Http2Connection::Ping(absl::string_view opaque) {
  nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE,
                      reinterpret_cast<const uint8_t*>(opaque.data()));
}

void Http2Connection::TakePingAck(absl::string_view opaque) {
  if (opaque == kDrainPing && drain_step_ == kNoticed) SayLastStream();
}

void Http2Connection::EndAll(const CallStatus& status, int64_t now_us) {
  now_us_ = ended_us_ = now_us;
  for (const auto& [id, stream] : streams_) {
    Refuse(*stream, nullptr, status.code, status.message);
  }
  SayLastStream();
}

void Http2Connection::Lose() {
  for (const auto& [id, stream] : streams_) CloseStream(*stream);
  streams_.clear();
}

bool Http2Connection::is_finished() const {
  return nghttp2_session_want_read(session_) == 0 &&
         nghttp2_session_want_write(session_) == 0;
}

bool Http2Connection::is_quiet() const {
  return streams_.empty() && nghttp2_session_want_write(session_) == 0 &&
         drain_step_ != kNoticed;
}

}  // namespace stepwell::front
