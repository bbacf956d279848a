#include "cc/online_store/redis_hop.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <thread>

#include "gtest/gtest.h"

namespace stepwell::online_store {
namespace {

using std::chrono::seconds;

class RedisHopTest : public testing::Test {
 protected:
  RedisHopTest() {
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends_), 0);
    fcntl(ends_[0], F_SETFL, O_NONBLOCK);
  }
  ~RedisHopTest() override {
    HangUp();
    close(ends_[0]);
  }

  static RedisHop::TimePoint Soon() {
    return std::chrono::steady_clock::now() + seconds(10);
  }
  static RedisHop::TimePoint Over() {
    return std::chrono::steady_clock::now() - seconds(1);
  }

  void Reply(const std::string& bytes) {
    ASSERT_EQ(write(ends_[1], bytes.data(), bytes.size()),
              static_cast<ssize_t>(bytes.size()));
  }
  std::string Asked() {
    std::string bytes(4'096, '\0');
    bytes.resize(static_cast<size_t>(read(ends_[1], bytes.data(), bytes.size())));
    return bytes;
  }
  void HangUp() {
    if (ends_[1] >= 0) close(ends_[1]);
    ends_[1] = -1;
  }
  absl::StatusOr<RedisReply> Ask(RedisHop::TimePoint end, bool asking = false) {
    return hop().MGet({"a", "bc"}, asking, end);
  }
  RedisHop& hop() { return hop_.emplace(ends_[0]); }

  int ends_[2] = {-1, -1};
  std::optional<RedisHop> hop_;
};

TEST_F(RedisHopTest, OneCommandOneReply) {
  Reply("*2\r\n$1\r\nx\r\n$-1\r\n");
  const auto reply = Ask(Soon());
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->blobs, (std::vector<Blob>{"x", std::nullopt}));
  EXPECT_EQ(Asked(), "*3\r\n$4\r\nMGET\r\n$1\r\na\r\n$2\r\nbc\r\n");
}

TEST_F(RedisHopTest, ANodeThatIsToldToAnswerRepliesTwice) {
  Reply("+OK\r\n*2\r\n$-1\r\n$-1\r\n");
  ASSERT_TRUE(Ask(Soon(), /*asking=*/true).ok());
  EXPECT_EQ(Asked().substr(0, 16), "*1\r\n$6\r\nASKING\r\n");
}

TEST_F(RedisHopTest, AReplyThatIsThereIsTakenThoughTimeIsOver) {
  Reply("*2\r\n$-1\r\n$-1\r\n");
  EXPECT_TRUE(Ask(Over()).ok());
}

TEST_F(RedisHopTest, WhatNeedsAnotherLookWhenTimeIsOverIsGivenUp) {
  Reply("*2\r\n$-1\r\n$5\r\nab");
  EXPECT_EQ(Ask(Over()).status().code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(RedisHopTest, NoReplyIsGivenUpInTime) {
  const auto begun = std::chrono::steady_clock::now();
  const auto end = begun + std::chrono::milliseconds(20);
  EXPECT_EQ(Ask(end).status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_GE(std::chrono::steady_clock::now(), end);
}

TEST_F(RedisHopTest, AReplyInPartsIsOneReply) {
  const std::string large(300'000, 'x');
  std::thread server([&] {
    Reply("*2\r\n$300000\r\n");
    Reply(large);
    Reply("\r\n$-1\r\n");
  });
  const auto reply = Ask(Soon());
  server.join();
  ASSERT_TRUE(reply.ok()) << reply.status();
  EXPECT_EQ(reply->blobs[0], large);
}

TEST_F(RedisHopTest, AServerThatIsGoneIsALostConnection) {
  HangUp();
  EXPECT_EQ(Ask(Soon()).status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(RedisHopTest, AnotherNumberOfBlobsIsNoReply) {
  Reply("*1\r\n$-1\r\n");
  EXPECT_EQ(Ask(Soon()).status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(RedisHopTest, AnErrorOfTheServerIsAReply) {
  Reply("-NOPERM no\r\n");
  const auto reply = Ask(Soon());
  ASSERT_TRUE(reply.ok());
  EXPECT_EQ(reply->error, "NOPERM no");
}

}  // namespace
}  // namespace stepwell::online_store
