// A caller for tests: HTTP/2 by nghttp2's client side, over bytes.
#ifndef STEPWELL_CC_FRONT_CALLER_FIXTURE_H_
#define STEPWELL_CC_FRONT_CALLER_FIXTURE_H_

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace stepwell::front {

// A message with gRPC's prefix before it.
std::string Framed(absl::string_view message);

struct CallerReply {
  std::map<std::string, std::string> fields;  // of head and trailers
  std::string body;                           // with the prefixes
  int num_heads = 0;
  int num_bad_fields = 0;  // that HTTP does not allow, and not in `fields`
  bool is_closed = false;
  uint32_t error_code = 0;

  std::string Field(const std::string& name) const;
  int code() const;             // of grpc-status, -1 when there is none
  std::string message() const;  // of grpc-message, as it is on the wire
};

// Concurrency: one thread.
class CallerFixture {
 public:
  using Fields = std::vector<std::pair<std::string, std::string>>;

  CallerFixture();
  ~CallerFixture();
  CallerFixture(const CallerFixture&) = delete;
  CallerFixture& operator=(const CallerFixture&) = delete;

  // Begins a stream and gives its number. Fields of the same names as the usual ones
  // replace them. Without `body` the caller goes on with Send.
  int32_t Begin(const std::string& path, std::optional<std::string> body,
                const Fields& fields = {});

  // A whole request with one message.
  int32_t Call(const std::string& path, absl::string_view message,
               const Fields& fields = {}) {
    return Begin(path, Framed(message), fields);
  }

  // More bytes of a stream that has no body yet; the last ones end it.
  void Send(int32_t stream, absl::string_view bytes, bool is_last);

  void Reset(int32_t stream);
  void Ping();

  // Of streams that are open and of later ones.
  void SetWindow(uint32_t bytes);

  void Receive(absl::string_view bytes);
  std::string Gather();

  const CallerReply& reply(int32_t stream) { return replies_[stream]; }

  const std::vector<std::pair<int32_t, uint32_t>>& goaways() const { return goaways_; }
  int num_pings() const { return num_pings_; }
  bool is_broken() const { return is_broken_; }
  uint32_t Setting(nghttp2_settings_id id) const {
    return nghttp2_session_get_remote_settings(session_, id);
  }

 private:
  friend struct CallerCallbacks;
  struct Body {
    std::string bytes;
    size_t num_sent = 0;
    bool is_last = false;
  };

  nghttp2_session* session_ = nullptr;
  std::map<int32_t, Body> bodies_;
  std::map<int32_t, CallerReply> replies_;
  std::vector<std::pair<int32_t, uint32_t>> goaways_;  // last stream, error
  int num_pings_ = 0;
  bool is_broken_ = false;
};

}  // namespace stepwell::front

#endif  // STEPWELL_CC_FRONT_CALLER_FIXTURE_H_
