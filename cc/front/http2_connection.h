// One connection of a caller: HTTP/2 and gRPC over bytes, without a socket or a clock.
#ifndef STEPWELL_CC_FRONT_HTTP2_CONNECTION_H_
#define STEPWELL_CC_FRONT_HTTP2_CONNECTION_H_

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "cc/front/call.h"
#include "cc/front/call_handler.h"
#include "cc/front/front_options.h"
#include "cc/front/http2_stream.h"
#include "cc/front/live_counters.h"
#include "cc/front/method_table.h"

namespace stepwell::front {

// What all connections of one front share; it outlives them.
struct FrontContext {
  FrontOptions options;
  MethodTable methods;
  CallHandler* handler = nullptr;
  std::shared_ptr<ReplySink> sink;
  LiveCounters counters;
  int64_t partial_bytes = 0;  // of requests that have not come whole
};

// Bytes in, calls out; replies in, bytes out. It answers by itself what is no call, is
// too large or names no method, before anything is allocated for its message.
//
// Concurrency: the I/O thread alone; times are microseconds of one clock and never run
// backwards. Memory: FrontOptions bounds the partial requests and the unread answers;
// nghttp2 holds some 20 KiB beside them.
class Http2Connection {
 public:
  // `context` is borrowed.
  Http2Connection(uint64_t id, FrontContext* context, int64_t now_us);
  ~Http2Connection();
  Http2Connection(const Http2Connection&) = delete;
  Http2Connection& operator=(const Http2Connection&) = delete;

  // What the peer has sent.
  void Receive(absl::string_view bytes, int64_t now_us);

  // Frames for the peer, appended to *bytes until at least `size` more are there or
  // nothing waits. One frame may go over the size, by 16 KiB at most.
  void Gather(size_t size, std::string* bytes);

  // The peer has read of what had to wait for it: it is there, also when it says
  // nothing.
  void NoteReading(int64_t now_us);

  // A reply for a call of this connection; nothing when its stream has gone.
  void Write(Reply reply);

  // Now and then: silence, age and requests that do not end.
  void Tick(int64_t now_us);

  // GOAWAY in two steps: no stream that the peer has begun meanwhile is lost. Calls
  // under way go on, then the connection is finished.
  void Drain(int64_t now_us);

  // Every open call gets this end, and no new one is begun. Finished soon after, or
  // broken when the peer does not read it.
  void EndAll(const CallStatus& status, int64_t now_us);

  // The peer has gone: every open call is cancelled.
  void Lose();

  // Send what Gather gives, then close.
  bool is_finished() const;

  // Close at once: what the peer sent is no HTTP/2, or it is silent.
  bool is_broken() const { return is_broken_; }

  // No call is open or on its way, as far as one can know, and nothing waits to be
  // sent.
  bool is_quiet() const;

 private:
  friend struct Http2Callbacks;
  enum DrainStep { kServing, kNoticed, kLastStreamSaid };

  void OpenSession();
  Http2Stream* Find(int32_t stream);

  // What nghttp2 tells; in http2_requests.cc, in the order of a stream's life.
  void CountFrame(bool is_useful);
  void BeginStream(int32_t id);
  bool CountField(int32_t id, size_t num_bytes);
  void AddField(int32_t id, absl::string_view name, absl::string_view value);
  void EndHead(Http2Stream& stream);
  void AddBytes(Http2Stream& stream, absl::string_view bytes);
  void EndRequest(Http2Stream& stream);
  void AfterLastFrame(int32_t id);
  void EndStream(int32_t id, uint32_t error_code);
  void AfterGoaway();
  void TakePingAck(absl::string_view opaque);

  void ReadMessages(Http2Stream& stream, absl::string_view bytes);
  void TakeMessage(Http2Stream& stream);
  void RefuseUnreadable(Http2Stream& stream, MessageReader::Result result);
  int64_t Bounded(int64_t deadline_us) const;
  void OpenCall(Http2Stream& stream, std::string message);
  void ToSide(Http2Stream& stream, SideEvent::Kind kind, std::string message);
  void Refuse(Http2Stream& stream, LiveCounter* counter, int code, std::string message);
  void ResetIf(bool failed, const Http2Stream& stream);
  void CancelCall(const std::shared_ptr<Call>& call);
  void ForgetRequest(Http2Stream& stream);
  void CountPartial(Http2Stream& stream);
  void CheckPartialBytes(Http2Stream& stream);
  void CloseStream(Http2Stream& stream);
  void ChargeReset();
  void CheckSilence();
  void CheckAge();
  void CheckStreams();
  bool IsLate(const Http2Stream& stream) const;
  void DropUnread(Http2Stream& stream);
  void SayLastStream();
  void Ping(absl::string_view opaque);

  const uint64_t id_;
  FrontContext* const context_;
  nghttp2_session* session_ = nullptr;
  absl::flat_hash_map<int32_t, std::unique_ptr<Http2Stream>> streams_;
  int64_t now_us_;
  const int64_t opened_us_;
  int64_t expires_us_;
  int64_t last_heard_us_;
  int64_t ping_sent_us_ = 0;   // 0: none is under way
  int64_t head_begun_us_ = 0;  // 0: no head is half read
  int64_t drained_us_ = 0;     // when Drain was called
  int64_t ended_us_ = 0;       // when EndAll was called, 0: it was not
  int64_t reset_debt_us_ = 0;
  int64_t block_bytes_ = 0;      // of the block of fields that is being read
  int64_t num_idle_frames_ = 0;  // less those that requests and answers allow
  int64_t partial_bytes_ = 0;
  int64_t unread_bytes_ = 0;
  DrainStep drain_step_ = kServing;
  bool has_settings_ = false;
  bool is_aged_ = false;  // and not ended yet
  bool is_broken_ = false;
};

}  // namespace stepwell::front

#endif  // STEPWELL_CC_FRONT_HTTP2_CONNECTION_H_
