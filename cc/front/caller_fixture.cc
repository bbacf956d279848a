#include "cc/front/caller_fixture.h"

#include <algorithm>
#include <cstring>

#include "cc/front/grpc_wire.h"

namespace stepwell::front {
namespace {

nghttp2_nv NvOf(const std::pair<std::string, std::string>& field) {
  return {reinterpret_cast<uint8_t*>(const_cast<char*>(field.first.data())),
          reinterpret_cast<uint8_t*>(const_cast<char*>(field.second.data())),
          field.first.size(), field.second.size(), NGHTTP2_NV_FLAG_NONE};
}

// The usual head, with the given fields in place of those of the same name.
CallerFixture::Fields HeadOf(const std::string& path,
                             const CallerFixture::Fields& fields) {
  CallerFixture::Fields head = {
      {":method", "POST"}, {":scheme", "http"},
      {":path", path},     {":authority", "test"},
      {"te", "trailers"},  {"content-type", "application/grpc"}};
  for (const auto& field : fields) {
    const auto same = std::find_if(head.begin(), head.end(), [&](const auto& other) {
      return other.first == field.first;
    });
    if (same != head.end()) {
      same->second = field.second;
    } else {
      head.push_back(field);
    }
  }
  return head;
}

}  // namespace

// The functions that nghttp2 calls; `user` is the CallerFixture.
struct CallerCallbacks {
  static int OnHeader(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name,
                      size_t name_size, const uint8_t* value, size_t value_size,
                      uint8_t, void* user) {
    Of(user).replies_[frame->hd.stream_id].fields[Text(name, name_size)] =
        Text(value, value_size);
    return 0;
  }

  static int OnBadHeader(nghttp2_session*, const nghttp2_frame* frame, const uint8_t*,
                         size_t, const uint8_t*, size_t, uint8_t, void* user) {
    ++Of(user).replies_[frame->hd.stream_id].num_bad_fields;
    return 0;
  }

  static int OnData(nghttp2_session*, uint8_t, int32_t id, const uint8_t* bytes,
                    size_t size, void* user) {
    Of(user).replies_[id].body += Text(bytes, size);
    return 0;
  }

  static int OnFrame(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    CallerFixture& caller = Of(user);
    const bool is_ack = (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0;
    if (frame->hd.type == NGHTTP2_HEADERS)
      ++caller.replies_[frame->hd.stream_id].num_heads;
    if (frame->hd.type == NGHTTP2_PING && !is_ack) ++caller.num_pings_;
    if (frame->hd.type == NGHTTP2_GOAWAY) {
      caller.goaways_.emplace_back(frame->goaway.last_stream_id,
                                   frame->goaway.error_code);
    }
    return 0;
  }

  static int OnClose(nghttp2_session*, int32_t id, uint32_t error_code, void* user) {
    Of(user).replies_[id].is_closed = true;
    Of(user).replies_[id].error_code = error_code;
    return 0;
  }

  static ssize_t ReadBody(nghttp2_session*, int32_t id, uint8_t* target, size_t room,
                          uint32_t* flags, nghttp2_data_source*, void* user) {
    CallerFixture::Body& body = Of(user).bodies_[id];
    const size_t size = std::min(room, body.bytes.size() - body.num_sent);
    std::memcpy(target, body.bytes.data() + body.num_sent, size);
    body.num_sent += size;
    if (body.num_sent == body.bytes.size() && body.is_last) {
      *flags |= NGHTTP2_DATA_FLAG_EOF;
    } else if (size == 0) {
      return NGHTTP2_ERR_DEFERRED;
    }
    return static_cast<ssize_t>(size);
  }

  static std::string Text(const uint8_t* bytes, size_t size) {
    return {reinterpret_cast<const char*>(bytes), size};
  }
  static CallerFixture& Of(void* user) { return *static_cast<CallerFixture*>(user); }
};

std::string Framed(absl::string_view message) {
  const auto prefix = MessagePrefix(message.size());
  return std::string(prefix.begin(), prefix.end()) + std::string(message);
}

std::string CallerReply::Field(const std::string& name) const {
  const auto found = fields.find(name);
  return found == fields.end() ? "" : found->second;
}

int CallerReply::code() const {
  const std::string text = Field("grpc-status");
  return text.empty() ? -1 : std::stoi(text);
}

std::string CallerReply::message() const { return Field("grpc-message"); }

CallerFixture::CallerFixture() {
  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_session_callbacks_new(&callbacks);
  nghttp2_session_callbacks_set_on_header_callback(callbacks,
                                                   CallerCallbacks::OnHeader);
  nghttp2_session_callbacks_set_on_invalid_header_callback(
      callbacks, CallerCallbacks::OnBadHeader);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks,
                                                            CallerCallbacks::OnData);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks,
                                                       CallerCallbacks::OnFrame);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks,
                                                         CallerCallbacks::OnClose);
  nghttp2_session_client_new(&session_, callbacks, this);
  nghttp2_session_callbacks_del(callbacks);
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, nullptr, 0);
}

CallerFixture::~CallerFixture() { nghttp2_session_del(session_); }

int32_t CallerFixture::Begin(const std::string& path, std::optional<std::string> body,
                             const Fields& fields) {
  const Fields head = HeadOf(path, fields);
  std::vector<nghttp2_nv> values;
  for (const auto& field : head) values.push_back(NvOf(field));
  nghttp2_data_provider provider = {};
  provider.read_callback = CallerCallbacks::ReadBody;
  const int32_t stream = nghttp2_submit_request(session_, nullptr, values.data(),
                                                values.size(), &provider, nullptr);
  const bool is_whole = body.has_value();
  bodies_[stream] = {std::move(body).value_or(""), 0, is_whole};
  return stream;
}

void CallerFixture::Send(int32_t stream, absl::string_view bytes, bool is_last) {
  Body& body = bodies_[stream];
  body.bytes.append(bytes.data(), bytes.size());
  body.is_last = is_last;
  nghttp2_session_resume_data(session_, stream);
}

void CallerFixture::Reset(int32_t stream) {
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream, NGHTTP2_CANCEL);
}

void CallerFixture::Ping() {
  nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, nullptr);
}

void CallerFixture::SetWindow(uint32_t bytes) {
  const nghttp2_settings_entry entry = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, bytes};
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, &entry, 1);
}

void CallerFixture::Receive(absl::string_view bytes) {
  const ssize_t used = nghttp2_session_mem_recv(
      session_, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  if (used < 0) is_broken_ = true;
}

std::string CallerFixture::Gather() {
  std::string bytes;
  const uint8_t* frame = nullptr;
  ssize_t size = 0;
  while ((size = nghttp2_session_mem_send(session_, &frame)) > 0) {
    bytes.append(reinterpret_cast<const char*>(frame), static_cast<size_t>(size));
  }
  return bytes;
}

}  // namespace stepwell::front
