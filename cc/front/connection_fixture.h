// A connection with a caller at its other end, without a socket and with a clock that
// stands until it is moved.
#ifndef STEPWELL_CC_FRONT_CONNECTION_FIXTURE_H_
#define STEPWELL_CC_FRONT_CONNECTION_FIXTURE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cc/front/caller_fixture.h"
#include "cc/front/http2_connection.h"

namespace stepwell::front {

// The methods of the fixture, by their index.
inline constexpr int kUnary = 0;
inline constexpr int kSide = 1;
inline constexpr int kStream = 2;
inline constexpr char kUnaryPath[] = "/test.Test/Unary";
inline constexpr char kSidePath[] = "/test.Test/Side";
inline constexpr char kStreamPath[] = "/test.Test/Stream";

std::vector<MethodOptions> FixtureMethods();

class KeptReplies : public ReplySink {
 public:
  void Post(Reply reply) override { replies.push_back(std::move(reply)); }
  std::vector<Reply> replies;
};

class KeptCalls : public CallHandler {
 public:
  void OnCall(std::shared_ptr<Call> call) override { calls.push_back(std::move(call)); }
  bool OnSide(SideEvent event) override {
    if (!has_room) return false;
    events.push_back(std::move(event));
    return true;
  }
  void OnCancelled(const std::shared_ptr<Call>& call) override {
    cancelled.push_back(call);
  }

  std::vector<std::shared_ptr<Call>> calls;
  std::vector<SideEvent> events;
  std::vector<std::shared_ptr<Call>> cancelled;
  bool has_room = true;
};

class ConnectionFixture {
 public:
  explicit ConnectionFixture(const FrontOptions& options = {});

  // Carries bytes and replies both ways until nothing is left.
  void Exchange();

  // One way only.
  void FromCaller() { connection->Receive(caller.Gather(), now_us); }
  void WriteReplies();
  std::string FromConnection();

  void Advance(int64_t millis);

  FrontCounters counters() const { return context.counters.Snapshot(); }

  int64_t now_us = 1'000'000'000;
  KeptCalls handler;
  std::shared_ptr<KeptReplies> sink = std::make_shared<KeptReplies>();
  FrontContext context;
  std::unique_ptr<Http2Connection> connection;
  CallerFixture caller;
};

}  // namespace stepwell::front

#endif  // STEPWELL_CC_FRONT_CONNECTION_FIXTURE_H_
