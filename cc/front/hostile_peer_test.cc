// Peers that mean no good: what they may hold of this process, and for how long.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "cc/base/clock.h"
#include "cc/front/connection_fixture.h"
#include "cc/front/peer.h"

namespace stepwell::front {
namespace {

constexpr int64_t kUsPerMs = 1'000;

// A socket whose other end writes what it likes and reads as much as it likes.
class FakeTransport : public Transport {
 public:
  int fd() const override { return -1; }

  IoResult Read(char* target, size_t size) override {
    ++num_reads;
    if (input.empty()) return {IoResult::kBlocked, 0};
    size = std::min(size, input.size());
    std::copy_n(input.begin(), size, target);
    input.erase(0, size);
    return {IoResult::kDone, size};
  }

  IoResult Write(absl::string_view bytes) override {
    const size_t size = std::min(bytes.size(), room);
    if (size == 0) return {IoResult::kBlocked, 0};
    room -= size;
    output.append(bytes.data(), size);
    return {IoResult::kDone, size};
  }

  void EndWrites() override { ended = true; }

  std::string input, output;
  size_t room = 0;
  int num_reads = 0;
  bool ended = false;
};

// The time of a ConnectionFixture.
class FixtureClock : public Clock {
 public:
  explicit FixtureClock(const int64_t& now_us) : now_us_(now_us) {}
  int64_t NowNanos() const override { return now_us_ * 1'000; }

 private:
  const int64_t& now_us_;
};

// A peer whose other end is the fixture's caller, when the test carries bytes to it.
struct PeerFixture : ConnectionFixture {
  explicit PeerFixture(const FrontOptions& options = {}) : ConnectionFixture(options) {
    auto made = std::make_unique<FakeTransport>();
    transport = made.get();
    peer = std::make_unique<Peer>(8, std::move(made), &context, now_us);
  }

  void Read() {
    transport->input += caller.Gather();
    peer->Read(buffer.data(), clock);
  }

  void Flush() {
    for (Reply& reply : std::exchange(sink->replies, {})) {
      peer->connection().Write(std::move(reply));
    }
    peer->Flush(&passing, now_us);
    caller.Receive(std::exchange(transport->output, {}));
  }

  void Pass(int64_t millis) {
    now_us += millis * kUsPerMs;
    peer->connection().Tick(now_us);
    Flush();
  }

  FixtureClock clock{now_us};
  std::string buffer = std::string(Peer::kReadBytes, '\0');
  std::string passing;
  FakeTransport* transport = nullptr;
  std::unique_ptr<Peer> peer;
};

TEST(HostilePeer, OneThatReadsNothingIsClosedWhenItIsSilent) {
  PeerFixture fixture;
  fixture.caller.Call(kUnaryPath, "q");
  fixture.Read();
  fixture.Flush();
  fixture.Pass(fixture.context.options.keepalive_ms + 1);
  EXPECT_FALSE(fixture.peer->is_over(fixture.now_us));
  fixture.Pass(fixture.context.options.keepalive_timeout_ms + 1);
  EXPECT_TRUE(fixture.peer->is_over(fixture.now_us));
}

TEST(HostilePeer, OneThatReadsNothingIsGoneSoonAfterTheServersEnd) {
  PeerFixture fixture;
  fixture.caller.Call(kUnaryPath, "q");
  fixture.Read();
  fixture.Flush();
  fixture.peer->connection().EndAll({14, "going", {}}, fixture.now_us);
  fixture.Pass(2'000);
  EXPECT_TRUE(fixture.peer->is_over(fixture.now_us));
}

TEST(HostilePeer, NothingIsReadFromOneThatDoesNotRead) {
  PeerFixture fixture;
  fixture.Read();
  fixture.Flush();
  ASSERT_TRUE(fixture.peer->wants_write());
  EXPECT_FALSE(fixture.peer->wants_read());
  const int num_reads = fixture.transport->num_reads;
  fixture.caller.Call(kUnaryPath, "q");
  fixture.Read();
  EXPECT_EQ(fixture.transport->num_reads, num_reads);
  fixture.transport->room = 1 << 20;
  fixture.Flush();
  EXPECT_TRUE(fixture.peer->wants_read());
  fixture.Read();
  EXPECT_EQ(fixture.handler.calls.size(), 1);
}

TEST(HostilePeer, OneThatReadsSlowlyIsNotSilent) {
  PeerFixture fixture;
  const int32_t stream = fixture.caller.Call(kUnaryPath, "q");
  fixture.Read();
  fixture.handler.calls.at(0)->Answer(std::string(30'000, 'a'));
  for (int i = 0; i < 20; ++i) {
    fixture.transport->room = 1'000;
    fixture.Pass(fixture.context.options.keepalive_timeout_ms / 2);
    ASSERT_FALSE(fixture.peer->is_over(fixture.now_us)) << i;
  }
  fixture.transport->room = 1 << 20;
  fixture.Flush();
  EXPECT_EQ(fixture.caller.reply(stream).body.size(), 30'005);
}

// One comma a byte, and each part of a list of binary values repeats the name.
TEST(HostilePeer, AListOfBinaryValuesIsNoWayAroundTheLimitOfMetadata) {
  ConnectionFixture fixture;
  const std::string name = std::string(1'000, 'n') + "-bin";
  const int32_t stream =
      fixture.caller.Begin(kUnaryPath, std::nullopt, {{name, std::string(1'000, ',')}});
  fixture.Exchange();
  EXPECT_EQ(fixture.caller.reply(stream).code(), 8);
  EXPECT_EQ(fixture.counters().num_metadata_too_large, 1);
}

TEST(HostilePeer, HeadsOfRequestsThatDoNotComeAreCounted) {
  FrontOptions options;
  options.max_message_bytes = 1 << 10;
  options.max_partial_bytes_per_connection = 256 << 10;
  ConnectionFixture fixture(options);
  const std::string value(6'000, 'v');
  int32_t stream = 0;
  for (int i = 0; i < 50; ++i) {
    stream = fixture.caller.Begin(kUnaryPath, std::nullopt, {{"x-large", value}});
  }
  fixture.Exchange();
  EXPECT_EQ(fixture.caller.reply(stream).code(), 8);
  EXPECT_LE(fixture.context.partial_bytes, 256 << 10);
  EXPECT_GE(fixture.context.partial_bytes, 200 << 10);
  fixture.connection.reset();
  EXPECT_EQ(fixture.context.partial_bytes, 0);
}

// A block of fields as HPACK has it: one of 3,000 bytes for the table, then its name,
// one byte, again and again.
std::string Bomb(int num_names) {
  std::string block = "\x83\x86";
  absl::StrAppend(&block, "\x04", std::string(1, sizeof(kUnaryPath) - 1), kUnaryPath,
                  "\x5f\x10", "application/grpc", "\x40\x07", "x-large");
  // 3,000 - 127, seven bits a byte.
  absl::StrAppend(&block, "\x7f\xb9\x16", std::string(3'000, 'v'));
  return block + std::string(num_names, '\xbe');
}

TEST(HostilePeer, ABlockThatUnpacksToMoreAndMoreIsGivenUp) {
  ConnectionFixture fixture;
  fixture.Exchange();
  const std::string bomb = Bomb(10'000);
  std::string frame(3, '\0');
  frame[1] = static_cast<char>(bomb.size() >> 8);
  frame[2] = static_cast<char>(bomb.size());
  // HEADERS with the ends of the block and of the stream.
  frame += std::string("\1\5\0\0\0\1", 6) + bomb;
  fixture.connection->Receive(frame, fixture.now_us);
  EXPECT_EQ(fixture.counters().num_open, 1);
  const std::string reply = fixture.FromConnection();
  // RST_STREAM is the first frame, of 13 bytes.
  EXPECT_EQ(reply.substr(3, 1), "\3");
  EXPECT_EQ(reply.substr(12, 1), std::string(1, NGHTTP2_ENHANCE_YOUR_CALM));
  EXPECT_EQ(fixture.counters().num_open, 0);
  EXPECT_EQ(fixture.counters().num_metadata_too_large, 1);
  EXPECT_FALSE(fixture.connection->is_broken());
}

std::string Repeated(absl::string_view frame, int times) {
  std::string bytes;
  for (int i = 0; i < times; ++i) bytes.append(frame.data(), frame.size());
  return bytes;
}

TEST(HostilePeer, FramesThatAskForNothingAreBounded) {
  const absl::string_view kinds[] = {
      {"\0\0\4\x08\0\0\0\0\0\0\0\0\1", 13},  // WINDOW_UPDATE
      {"\0\0\5\2\0\0\0\0\3\0\0\0\0\1", 14},  // PRIORITY
  };
  for (const absl::string_view frame : kinds) {
    ConnectionFixture fixture;
    fixture.Exchange();
    fixture.connection->Receive(Repeated(frame, 9'000), fixture.now_us);
    fixture.Exchange();
    EXPECT_FALSE(fixture.connection->is_finished());
    fixture.connection->Receive(Repeated(frame, 9'000), fixture.now_us);
    fixture.caller.Receive(fixture.FromConnection());
    ASSERT_EQ(fixture.caller.goaways().size(), 1) << int{frame[3]};
    EXPECT_EQ(fixture.caller.goaways()[0].second, NGHTTP2_ENHANCE_YOUR_CALM);
    EXPECT_TRUE(fixture.connection->is_finished());
  }
}

TEST(HostilePeer, APeerThatIsBusyMayOpenItsWindowAsOftenAsItIsAnswered) {
  ConnectionFixture fixture;
  const absl::string_view update("\0\0\4\x08\0\0\0\0\0\0\0\0\1", 13);
  for (int i = 0; i < 5'000; ++i) {
    fixture.caller.Call(kUnaryPath, "q");
    fixture.Exchange();
    fixture.connection->Receive(Repeated(update, 4), fixture.now_us);
    std::exchange(fixture.handler.calls, {}).at(0)->Answer("a");
    fixture.Exchange();
  }
  EXPECT_TRUE(fixture.caller.goaways().empty());
}

// What others hold back must not cost those who send one request and all of it.
TEST(HostilePeer, PartialRequestsOfOthersRefuseNobodyWhoHoldsOnlyOne) {
  FrontOptions options;
  options.max_partial_bytes_per_connection = 1 << 20;
  options.max_partial_bytes = 1 << 20;
  ConnectionFixture fixture(options);
  const std::string part = Framed(std::string(250'000, 'p')).substr(0, 200'000);
  for (int i = 0; i < 5; ++i) {
    const int32_t stream = fixture.caller.Begin(kUnaryPath, std::nullopt);
    fixture.caller.Send(stream, part, false);
  }
  fixture.Exchange();
  ConnectionFixture other(options);
  other.context.partial_bytes = fixture.context.partial_bytes + (1 << 16);
  const int32_t honest = other.caller.Call(kUnaryPath, std::string(100'000, 'h'));
  other.Exchange();
  ASSERT_EQ(other.handler.calls.size(), 1);
  EXPECT_EQ(other.caller.reply(honest).code(), -1);
  // Who holds more than one message is refused the rest.
  for (int i = 0; i < 2; ++i) {
    const int32_t stream = other.caller.Begin(kUnaryPath, std::nullopt);
    other.caller.Send(stream, part, false);
  }
  other.Exchange();
  EXPECT_EQ(other.counters().num_too_large, 1);
}

TEST(HostilePeer, AnAnswerThatNobodyReadsIsDropped) {
  ConnectionFixture fixture;
  fixture.caller.SetWindow(0);
  const int32_t stream = fixture.caller.Call(kUnaryPath, "q");
  fixture.Exchange();
  fixture.handler.calls.at(0)->Answer(std::string(100'000, 'a'));
  fixture.Exchange();
  EXPECT_EQ(fixture.counters().num_open, 1);
  for (int i = 0; i < 130; ++i) {
    // It says that it is there.
    fixture.caller.Ping();
    fixture.Advance(1'000);
    fixture.Exchange();
  }
  EXPECT_TRUE(fixture.caller.reply(stream).is_closed);
  EXPECT_EQ(fixture.counters().num_open, 0);
}

}  // namespace
}  // namespace stepwell::front
