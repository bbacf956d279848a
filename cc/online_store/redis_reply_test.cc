#include "cc/online_store/redis_reply.h"

#include <string>

#include "gtest/gtest.h"

namespace stepwell::online_store {
namespace {

RedisReply Read(const std::string& bytes) {
  RedisReply reply;
  const absl::StatusOr<size_t> used = ReadReply(bytes, reply);
  EXPECT_TRUE(used.ok()) << used.status();
  EXPECT_EQ(used.value_or(0), bytes.size());
  return reply;
}

TEST(RedisReplyTest, BlobsComeInOrderAndMayHoldAnyByte) {
  const RedisReply reply = Read("*4\r\n$2\r\n\r\n\r\n$-1\r\n$0\r\n\r\n_\r\n");
  EXPECT_FALSE(reply.error);
  EXPECT_EQ(reply.blobs, (std::vector<Blob>{"\r\n", std::nullopt, "", std::nullopt}));
}

TEST(RedisReplyTest, AnErrorIsItsText) {
  EXPECT_EQ(Read("-MOVED 7 host:1\r\n").error, "MOVED 7 host:1");
  EXPECT_EQ(Read("!5\r\nERR\r\n\r\n").error, "ERR\r\n");
  EXPECT_TRUE(Read("+OK\r\n").blobs.empty());
}

TEST(RedisReplyTest, WhatIsSentUnaskedIsPassedBy) {
  const RedisReply reply = Read(
      ">3\r\n$4\r\nnews\r\n%1\r\n+a\r\n:1\r\n*2\r\n_\r\n#t\r\n>1\r\n,1.5\r\n"
      "*1\r\n$1\r\nx\r\n");
  EXPECT_EQ(reply.blobs, std::vector<Blob>{"x"});
}

TEST(RedisReplyTest, CutAnywhereItIsNotAllThereAndTheRestIsLeft) {
  const std::string whole = ">1\r\n+a\r\n*2\r\n$3\r\nabc\r\n$-1\r\n";
  RedisReply reply;
  for (size_t size = 0; size < whole.size(); ++size) {
    // Memory of its own, so that a sanitizer sees the end.
    EXPECT_EQ(*ReadReply(std::string(whole, 0, size), reply), 0u) << size;
  }
  EXPECT_EQ(*ReadReply(whole + "*1\r\n", reply), whole.size());
}

TEST(RedisReplyTest, WhatIsNoReplyIsDataLoss) {
  RedisReply reply;
  for (const std::string bytes :
       {"\r\n", "?\r\n", ":1\r\n", "$1\r\nx\r\n", "*x\r\n", "*-2\r\n", "*9999999\r\n",
        "*1\r\n:1\r\n", "*1\r\n$-7\r\n", "*1\r\n$2000000\r\n", "*1\r\n$1\r\nabc\r\n"}) {
    EXPECT_EQ(ReadReply(bytes, reply).status().code(), absl::StatusCode::kDataLoss)
        << bytes;
  }
  std::string many;
  for (int i = 0; i < 3; ++i) many += ">1000000\r\n";
  EXPECT_FALSE(ReadReply(many, reply).ok());
  EXPECT_FALSE(ReadReply(std::string(1 << 20, '+'), reply).ok());
}

}  // namespace
}  // namespace stepwell::online_store
