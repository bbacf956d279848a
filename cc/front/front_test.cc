// The whole port over real sockets: threads, listening, draining, closing.
#include "cc/front/front.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <thread>
#include <utility>

#include "cc/front/connection_fixture.h"
#include "cc/front/socket_caller_fixture.h"

namespace stepwell::front {
namespace {

constexpr int64_t kLongUs = 10'000'000;

bool IsReadable(int fd) {
  pollfd waited = {fd, POLLIN, 0};
  return poll(&waited, 1, 10'000) == 1;
}

// A front with the fixture's methods and a worker that echoes.
class FrontTest : public testing::Test {
 protected:
  void Open(const FrontOptions& options = {}) {
    absl::StatusOr<std::unique_ptr<Front>> opened =
        Front::Open(options, FixtureMethods(), &queue_);
    ASSERT_TRUE(opened.ok()) << opened.status();
    front_ = *std::move(opened);
    ASSERT_TRUE(front_->Listen().ok());
  }

  void StartEcho() {
    worker_ = std::thread([this] {
      while (const std::shared_ptr<Call> call = queue_.Take()) {
        call->Answer(std::string(call->message()));
      }
    });
  }

  ~FrontTest() override {
    queue_.Close();
    if (worker_.joinable()) worker_.join();
  }

  AdmissionQueue queue_{64};
  std::unique_ptr<Front> front_;
  std::thread worker_;
};

TEST_F(FrontTest, ManyCallersAreAnsweredAtOnce) {
  Open();
  StartEcho();
  std::vector<std::unique_ptr<SocketCaller>> callers;
  std::vector<std::vector<int32_t>> streams(16);
  for (int i = 0; i < 16; ++i) {
    callers.push_back(std::make_unique<SocketCaller>(front_->port()));
    for (int j = 0; j < 4; ++j) {
      streams[i].push_back(callers[i]->http2.Call(kUnaryPath, std::to_string(i)));
    }
    callers[i]->Send();
  }
  for (int i = 0; i < 16; ++i) {
    for (const int32_t stream : streams[i]) {
      EXPECT_EQ(callers[i]->Wait(stream).body, Framed(std::to_string(i)));
    }
  }
  EXPECT_EQ(front_->counters().num_calls, 64);
  EXPECT_EQ(front_->counters().num_accepted, 16);
}

TEST_F(FrontTest, LargeMessagesComeAndGoWhole) {
  Open();
  StartEcho();
  SocketCaller caller(front_->port());
  const std::string message(250'000, 'm');
  std::vector<int32_t> streams;
  for (int i = 0; i < 8; ++i) streams.push_back(caller.http2.Call(kUnaryPath, message));
  for (const int32_t stream : streams) {
    EXPECT_EQ(caller.Wait(stream).body, Framed(message));
  }
}

TEST_F(FrontTest, WhoTheQueueDoesNotTakeIsRefusedAndCounted) {
  queue_.SetMaxSize(2);
  Open();
  SocketCaller caller(front_->port());
  std::vector<int32_t> streams;
  for (int i = 0; i < 3; ++i) streams.push_back(caller.http2.Call(kUnaryPath, "q"));
  ASSERT_TRUE(caller.ReadUntil([&] {
    int num_refused = 0;
    for (const int32_t stream : streams) {
      num_refused += static_cast<int>(caller.http2.reply(stream).code() == 8);
    }
    return num_refused == 1;
  }));
  EXPECT_EQ(front_->counters().num_refused_overload[0], 1);
}

TEST_F(FrontTest, ACallerWhoGoesLeavesTheQueue) {
  Open();
  {
    SocketCaller caller(front_->port());
    caller.http2.Call(kUnaryPath, "q");
    caller.Send();
    const int32_t other = caller.http2.Call(kSidePath, "s");
    caller.Send();
    ASSERT_TRUE(IsReadable(front_->side_fd()));
    EXPECT_EQ(front_->TakeSide().size(), 1);
    EXPECT_EQ(queue_.NumAhead(0), 1);
    EXPECT_GT(other, 0);
  }
  ASSERT_TRUE(IsReadable(front_->side_fd()));  // the side call's cancellation
  EXPECT_EQ(front_->TakeSide().at(0).kind, SideEvent::kCancelled);
  ASSERT_TRUE(front_->WaitIdle(kLongUs));
  EXPECT_EQ(queue_.NumAhead(0), 0);
  EXPECT_EQ(front_->counters().num_cancelled, 2);
  EXPECT_EQ(front_->counters().num_connections, 0);
}

TEST_F(FrontTest, ASideCallIsAnsweredFromWhereItWasTaken) {
  Open();
  SocketCaller caller(front_->port());
  const int32_t stream = caller.http2.Call(kSidePath, "s");
  caller.Send();
  ASSERT_TRUE(IsReadable(front_->side_fd()));
  std::vector<SideEvent> events = front_->TakeSide();
  ASSERT_EQ(events.size(), 1);
  EXPECT_EQ(front_->TakeSide().size(), 0);
  events[0].call->Answer("done");
  EXPECT_EQ(caller.Wait(stream).body, Framed("done"));
}

TEST_F(FrontTest, DrainingServesWhatIsOpenAndFreesThePort) {
  Open();
  SocketCaller caller(front_->port());
  const int32_t stream = caller.http2.Call(kUnaryPath, "q");
  caller.Send();
  const std::shared_ptr<Call> call = queue_.Take(kLongUs);
  ASSERT_NE(call, nullptr);
  front_->Drain();
  EXPECT_FALSE(SocketCaller(front_->port()).is_connected());
  EXPECT_FALSE(front_->WaitIdle(0));
  call->Answer("a");
  EXPECT_EQ(caller.Wait(stream).code(), 0);
  EXPECT_TRUE(caller.ReadsEnd());
  EXPECT_FALSE(caller.http2.goaways().empty());
  EXPECT_TRUE(front_->WaitIdle(kLongUs));
}

TEST_F(FrontTest, ClosingEndsOpenCallsAndLateAnswersGoNowhere) {
  Open();
  SocketCaller caller(front_->port());
  const int32_t stream = caller.http2.Call(kUnaryPath, "q");
  caller.Send();
  const std::shared_ptr<Call> call = queue_.Take(kLongUs);
  ASSERT_NE(call, nullptr);
  front_->Close();
  EXPECT_EQ(caller.Wait(stream).code(), 14);
  EXPECT_TRUE(call->is_cancelled());
  front_.reset();
  call->Answer("nobody is there");
}

TEST_F(FrontTest, AConnectionTooManyIsSentAwayAndTheOthersStay) {
  FrontOptions options;
  options.max_connections = 1;
  Open(options);
  StartEcho();
  SocketCaller first(front_->port());
  EXPECT_EQ(first.Wait(first.http2.Call(kUnaryPath, "q")).code(), 0);
  SocketCaller second(front_->port());
  EXPECT_TRUE(second.ReadUntil([&] { return !second.http2.goaways().empty(); }));
  EXPECT_EQ(second.http2.goaways().at(0).second, NGHTTP2_ENHANCE_YOUR_CALM);
  EXPECT_EQ(front_->counters().num_rejected, 1);
  EXPECT_EQ(first.Wait(first.http2.Call(kUnaryPath, "q")).code(), 0);
}

TEST_F(FrontTest, APeerThatSpeaksNoHttp2IsClosed) {
  Open();
  SocketCaller caller(front_->port());
  constexpr absl::string_view kHttp1 = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
  send(caller.fd(), kHttp1.data(), kHttp1.size(), MSG_NOSIGNAL);
  char byte = 0;
  while (recv(caller.fd(), &byte, 1, 0) > 0) {
  }
  EXPECT_TRUE(front_->WaitIdle(kLongUs));
}

TEST_F(FrontTest, ASharedPortIsTakenByTwoAndAnotherByOne) {
  FrontOptions options;
  options.shared_port = true;
  Open(options);
  options.port = front_->port();
  const auto second = Front::Open(options, FixtureMethods(), &queue_);
  ASSERT_TRUE(second.ok());
  EXPECT_EQ((*second)->port(), 0);
  EXPECT_TRUE((*second)->Listen().ok());
  options.shared_port = false;
  const auto third = Front::Open(options, FixtureMethods(), &queue_);
  EXPECT_EQ(third.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(third.status().message(),
            "cannot listen on 127.0.0.1:" + std::to_string(options.port) +
                ": Address already in use");
}

TEST_F(FrontTest, BadOptionsAreNamed) {
  FrontOptions options;
  options.max_connections = 0;
  EXPECT_EQ(Front::Open(options, {}, nullptr).status().message(),
            "max_connections is 0, must be in [1, 1048576]");
  MethodOptions method;
  method.path = "Service/Method";
  EXPECT_EQ(Front::Open({}, {method}, nullptr).status().message(),
            "path is 'Service/Method', must begin with /");
  method.path = "/Service/Method";
  EXPECT_EQ(Front::Open({}, {method, method}, nullptr).status().message(),
            "path is '/Service/Method' twice");
  method.queued = true;
  EXPECT_EQ(Front::Open({}, {method}, nullptr).status().message(),
            "queued is set for /Service/Method, and there is no queue");
}

}  // namespace
}  // namespace stepwell::front
