#include "cc/front/http2_callbacks.h"

#include "absl/strings/string_view.h"
#include "cc/front/http2_connection.h"

namespace stepwell::front {
namespace {

absl::string_view View(const uint8_t* bytes, size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

bool IsRequestHead(const nghttp2_frame& frame) {
  return frame.hd.type == NGHTTP2_HEADERS && frame.headers.cat == NGHTTP2_HCAT_REQUEST;
}

bool EndsStream(const nghttp2_frame& frame) {
  return (frame.hd.type == NGHTTP2_HEADERS || frame.hd.type == NGHTTP2_DATA) &&
         (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
}

}  // namespace

// The functions that nghttp2 calls; `user` is the Http2Connection.
struct Http2Callbacks {
  static int OnBeginFrame(nghttp2_session*, const nghttp2_frame_hd* head, void* user) {
    Of(user).CountFrame(head->type == NGHTTP2_HEADERS ||
                        (head->type == NGHTTP2_DATA && head->length > 0));
    return 0;
  }

  static int OnBeginHeaders(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    Of(user).block_bytes_ = 0;
    if (IsRequestHead(*frame)) Of(user).BeginStream(frame->hd.stream_id);
    return 0;
  }

  static int OnHeader(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name,
                      size_t name_size, const uint8_t* value, size_t value_size,
                      uint8_t, void* user) {
    if (!Of(user).CountField(frame->hd.stream_id, name_size + value_size)) {
      // The rest of the block is unpacked and not looked at.
      return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    if (IsRequestHead(*frame)) {
      Of(user).AddField(frame->hd.stream_id, View(name, name_size),
                        View(value, value_size));
    }
    return 0;
  }

  static int OnFrame(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    Http2Connection& connection = Of(user);
    if (frame->hd.type == NGHTTP2_SETTINGS) connection.has_settings_ = true;
    if (frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0) {
      connection.TakePingAck(View(frame->ping.opaque_data, 8));
    }
    Http2Stream* stream = connection.Find(frame->hd.stream_id);
    if (stream == nullptr) return 0;
    if (IsRequestHead(*frame)) connection.EndHead(*stream);
    if (EndsStream(*frame)) connection.EndRequest(*stream);
    return 0;
  }

  static int OnData(nghttp2_session*, uint8_t, int32_t id, const uint8_t* bytes,
                    size_t size, void* user) {
    Http2Stream* stream = Of(user).Find(id);
    if (stream != nullptr) Of(user).AddBytes(*stream, View(bytes, size));
    return 0;
  }

  static int OnFrameSent(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    if (frame->hd.type == NGHTTP2_DATA) Of(user).CountFrame(true);
    if (EndsStream(*frame)) Of(user).AfterLastFrame(frame->hd.stream_id);
    if (frame->hd.type == NGHTTP2_GOAWAY) Of(user).AfterGoaway();
    return 0;
  }

  static int OnStreamClose(nghttp2_session*, int32_t id, uint32_t error_code,
                           void* user) {
    Of(user).EndStream(id, error_code);
    return 0;
  }

  static Http2Connection& Of(void* user) {
    return *static_cast<Http2Connection*>(user);
  }
};

namespace {

nghttp2_session_callbacks* NewCallbacks() {
  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_session_callbacks_new(&callbacks);
  nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks,
                                                        Http2Callbacks::OnBeginFrame);
  nghttp2_session_callbacks_set_on_begin_headers_callback(
      callbacks, Http2Callbacks::OnBeginHeaders);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, Http2Callbacks::OnHeader);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks,
                                                       Http2Callbacks::OnFrame);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks,
                                                            Http2Callbacks::OnData);
  nghttp2_session_callbacks_set_on_frame_send_callback(callbacks,
                                                       Http2Callbacks::OnFrameSent);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks,
                                                         Http2Callbacks::OnStreamClose);
  return callbacks;
}

nghttp2_option* NewOption() {
  // Ours says why, and lets a proxy drop all its streams; nghttp2's is behind it.
  constexpr uint64_t kResetBurst = 20'000;
  constexpr uint64_t kResetsPerSecond = 2'000;
  nghttp2_option* option = nullptr;
  nghttp2_option_new(&option);
  nghttp2_option_set_no_closed_streams(option, 1);
  nghttp2_option_set_stream_reset_rate_limit(option, kResetBurst, kResetsPerSecond);
  return option;
}

}  // namespace

nghttp2_session* NewServerSession(Http2Connection* connection) {
  static const nghttp2_session_callbacks* const kCallbacks = NewCallbacks();
  static const nghttp2_option* const kOption = NewOption();
  nghttp2_session* session = nullptr;
  nghttp2_session_server_new2(&session, kCallbacks, connection, kOption);
  return session;
}

}  // namespace stepwell::front
