// What a connection answers by itself, and what it does to a peer that breaks rules.
#include <gtest/gtest.h>

#include <string>

#include "cc/front/connection_fixture.h"

namespace stepwell::front {
namespace {

using std::literals::string_literals::operator""s;

constexpr char kPreface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

TEST(Http2Refusals, AMessageOverTheLimitIsRefusedByItsPrefixAlone) {
  FrontOptions options;
  options.max_message_bytes = 100;
  ConnectionFixture fixture(options);
  const int32_t stream = fixture.caller.Begin(kUnaryPath, std::nullopt);
  fixture.caller.Send(stream, Framed(std::string(101, 'x')).substr(0, 5), false);
  fixture.Exchange();
  const CallerReply& reply = fixture.caller.reply(stream);
  EXPECT_EQ(reply.code(), 8);
  EXPECT_EQ(reply.message(), "request is 101 bytes, must be at most 100");
  EXPECT_TRUE(reply.is_closed);
  EXPECT_EQ(reply.error_code, NGHTTP2_NO_ERROR);
  EXPECT_EQ(fixture.counters().num_too_large, 1);
  EXPECT_TRUE(fixture.handler.calls.empty());
}

TEST(Http2Refusals, AMessageAtTheLimitIsACall) {
  FrontOptions options;
  options.max_message_bytes = 100;
  ConnectionFixture fixture(options);
  fixture.caller.Call(kUnaryPath, std::string(100, 'x'));
  fixture.Exchange();
  EXPECT_EQ(fixture.handler.calls.size(), 1);
}

TEST(Http2Refusals, ABodyBehindARefusalIsNotKept) {
  ConnectionFixture fixture;
  const int32_t stream = fixture.caller.Call(kUnaryPath, std::string(8 << 20, 'x'));
  fixture.FromCaller();
  EXPECT_EQ(fixture.context.partial_bytes, 0);
  fixture.Exchange();
  EXPECT_EQ(fixture.caller.reply(stream).code(), 8);
  const int32_t next = fixture.caller.Call(kUnaryPath, "small");
  fixture.Exchange();
  fixture.handler.calls.at(0)->Answer("fine");
  fixture.Exchange();
  EXPECT_EQ(fixture.caller.reply(next).code(), 0);
}

TEST(Http2Refusals, NoMoreIsHeldThanWasReceived) {
  ConnectionFixture fixture;
  const int32_t stream = fixture.caller.Begin(kUnaryPath, std::nullopt);
  fixture.caller.Send(stream, Framed(std::string(200'000, 'x')).substr(0, 15), false);
  fixture.Exchange();
  EXPECT_EQ(fixture.context.partial_bytes, 10);
}

TEST(Http2Refusals, PartialRequestsOfOneConnectionAreBounded) {
  FrontOptions options;
  options.max_message_bytes = 1'000;
  options.max_partial_bytes_per_connection = 2'500;
  ConnectionFixture fixture(options);
  const std::string part = Framed(std::string(1'000, 'x')).substr(0, 905);
  std::vector<int32_t> streams;
  for (int i = 0; i < 3; ++i) {
    streams.push_back(fixture.caller.Begin(kUnaryPath, std::nullopt));
    fixture.caller.Send(streams.back(), part, false);
  }
  fixture.Exchange();
  EXPECT_EQ(fixture.caller.reply(streams[0]).code(), -1);
  EXPECT_EQ(fixture.caller.reply(streams[1]).code(), -1);
  EXPECT_EQ(fixture.caller.reply(streams[2]).code(), 8);
  EXPECT_EQ(fixture.context.partial_bytes, 1'800);
}

TEST(Http2Refusals, MetadataOverTheLimitIsRefusedAndCounted) {
  FrontOptions options;
  options.max_metadata_bytes = 1'000;
  ConnectionFixture fixture(options);
  const int32_t over =
      fixture.caller.Call(kUnaryPath, "q", {{"padding", std::string(1'001, 'x')}});
  const int32_t huge =
      fixture.caller.Call(kUnaryPath, "q", {{"padding", std::string(40'000, 'x')}});
  const int32_t within =
      fixture.caller.Call(kUnaryPath, "q", {{"padding", std::string(500, 'x')}});
  fixture.Exchange();
  EXPECT_EQ(fixture.caller.reply(over).code(), 8);
  EXPECT_EQ(fixture.caller.reply(huge).code(), 8);
  EXPECT_EQ(fixture.caller.reply(within).code(), -1);
  EXPECT_EQ(fixture.handler.calls.size(), 1);
  EXPECT_EQ(fixture.counters().num_metadata_too_large, 2);
}

TEST(Http2Refusals, AnUnknownMethodIsUnimplemented) {
  ConnectionFixture fixture;
  const int32_t stream = fixture.caller.Call("/test.Test/Other", "q");
  fixture.Exchange();
  EXPECT_EQ(fixture.caller.reply(stream).code(), 12);
  EXPECT_EQ(fixture.caller.reply(stream).message(), "unknown method /test.Test/Other");
  EXPECT_EQ(fixture.counters().num_unknown_method, 1);
}

TEST(Http2Refusals, WhatIsNoGrpcGetsAStatusOfHttp) {
  ConnectionFixture fixture;
  const int32_t json =
      fixture.caller.Call(kUnaryPath, "{}", {{"content-type", "application/json"}});
  const int32_t web =
      fixture.caller.Call(kUnaryPath, "", {{"content-type", "application/grpc-web"}});
  const int32_t get = fixture.caller.Call(kUnaryPath, "", {{":method", "GET"}});
  const int32_t proto =
      fixture.caller.Call(kUnaryPath, "", {{"content-type", "application/grpc+proto"}});
  fixture.Exchange();
  EXPECT_EQ(fixture.caller.reply(json).Field(":status"), "415");
  EXPECT_EQ(fixture.caller.reply(json).code(), -1);
  EXPECT_EQ(fixture.caller.reply(web).Field(":status"), "415");
  EXPECT_EQ(fixture.caller.reply(get).Field(":status"), "405");
  EXPECT_FALSE(fixture.caller.reply(proto).is_closed);
  EXPECT_EQ(fixture.counters().num_malformed, 3);
  EXPECT_EQ(fixture.counters().num_calls, 1);
}

// A message whose prefix begins with this flag.
std::string WithFlag(char flag) {
  std::string bytes = Framed("one");
  bytes[0] = flag;
  return bytes;
}

struct BadBody {
  const char* name;
  std::string body;
  int code;
};

class BadBodies : public testing::TestWithParam<BadBody> {};

TEST_P(BadBodies, AreMalformedAndDoNotHurtTheConnection) {
  ConnectionFixture fixture;
  const int32_t stream = fixture.caller.Begin(kUnaryPath, GetParam().body);
  fixture.Exchange();
  EXPECT_EQ(fixture.caller.reply(stream).code(), GetParam().code);
  EXPECT_TRUE(fixture.caller.reply(stream).is_closed);
  EXPECT_EQ(fixture.counters().num_malformed, 1);
  EXPECT_EQ(fixture.context.partial_bytes, 0);
  fixture.caller.Call(kUnaryPath, "good");
  fixture.Exchange();
  EXPECT_EQ(fixture.handler.calls.size(), 1);
}

INSTANTIATE_TEST_SUITE_P(
    Http2Refusals, BadBodies,
    testing::Values(BadBody{"none", "", 12}, BadBody{"half_a_prefix", "\0\0"s, 13},
                    BadBody{"no_message", Framed("message").substr(0, 5), 13},
                    BadBody{"cut", Framed("message").substr(0, 9), 13},
                    BadBody{"two", Framed("one") + Framed("two"), 12},
                    BadBody{"one_byte_more", Framed("one") + "x", 12},
                    BadBody{"compressed", WithFlag('\1'), 12},
                    BadBody{"unknown_flag", WithFlag('\2'), 13}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(Http2Refusals, ABadTimeoutAndBadBase64AreInternal) {
  ConnectionFixture fixture;
  const int32_t timeout =
      fixture.caller.Call(kUnaryPath, "q", {{"grpc-timeout", "soon"}});
  const int32_t base64 = fixture.caller.Call(kUnaryPath, "q", {{"x-bin", "*"}});
  fixture.Exchange();
  EXPECT_EQ(fixture.caller.reply(timeout).code(), 13);
  EXPECT_EQ(fixture.caller.reply(base64).code(), 13);
  EXPECT_EQ(fixture.counters().num_malformed, 2);
}

TEST(Http2Refusals, AFullSideSaysSo) {
  ConnectionFixture fixture;
  fixture.handler.has_room = false;
  const int32_t stream = fixture.caller.Call(kSidePath, "q");
  fixture.Exchange();
  EXPECT_EQ(fixture.caller.reply(stream).code(), 8);
}

TEST(Http2Refusals, AStreamWhoseMessageIsTooLargeEndsAndTheSideIsTold) {
  ConnectionFixture fixture;
  const int32_t stream = fixture.caller.Begin(kStreamPath, std::nullopt);
  fixture.caller.Send(stream, Framed("fine"), false);
  fixture.caller.Send(stream, Framed(std::string(300'000, 'x')), false);
  fixture.Exchange();
  EXPECT_EQ(fixture.caller.reply(stream).code(), 8);
  EXPECT_EQ(fixture.handler.cancelled.size(), 1);
  EXPECT_EQ(fixture.counters().num_open, 0);
}

TEST(Http2Refusals, ARequestThatDoesNotComeWholeExpires) {
  ConnectionFixture fixture;
  const int32_t timed =
      fixture.caller.Begin(kUnaryPath, std::nullopt, {{"grpc-timeout", "1S"}});
  const int32_t untimed = fixture.caller.Begin(kUnaryPath, std::nullopt);
  fixture.Exchange();
  fixture.Advance(999);
  fixture.Exchange();
  EXPECT_EQ(fixture.caller.reply(timed).code(), -1);
  fixture.Advance(2);
  fixture.Exchange();
  EXPECT_EQ(fixture.caller.reply(timed).code(), 4);
  EXPECT_EQ(fixture.caller.reply(untimed).code(), -1);
  fixture.Advance(60'000);
  fixture.Exchange();
  EXPECT_EQ(fixture.caller.reply(untimed).code(), 4);
  EXPECT_EQ(fixture.counters().num_expired, 2);
}

// Who refused it late, the queue or a worker, has counted it: once is enough.
TEST(Http2Refusals, AWholeCallThatIsToldOfItsDeadlineIsNotCountedHere) {
  ConnectionFixture fixture;
  const int32_t stream = fixture.caller.Call(kUnaryPath, "q");
  fixture.Exchange();
  fixture.handler.calls.at(0)->Fail({4, "too late", {}});
  fixture.Exchange();
  EXPECT_EQ(fixture.caller.reply(stream).code(), 4);
  EXPECT_EQ(fixture.counters().num_expired, 0);
}

TEST(Http2Refusals, MoreStreamsThanAllowedAreRefusedUnprocessed) {
  FrontOptions options;
  options.max_streams_per_connection = 2;
  ConnectionFixture fixture(options);
  // Before the caller has read the settings.
  std::vector<int32_t> streams;
  for (int i = 0; i < 3; ++i) streams.push_back(fixture.caller.Call(kUnaryPath, "q"));
  fixture.Exchange();
  EXPECT_EQ(fixture.handler.calls.size(), 2);
  EXPECT_EQ(fixture.caller.reply(streams[2]).error_code, NGHTTP2_REFUSED_STREAM);
  EXPECT_EQ(fixture.caller.Setting(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS), 2);
}

TEST(Http2Refusals, BytesThatAreNoHttp2BreakTheConnection) {
  ConnectionFixture fixture;
  fixture.connection->Receive("GET / HTTP/1.1\r\n\r\n", fixture.now_us);
  EXPECT_TRUE(fixture.connection->is_broken());
}

TEST(Http2Refusals, AFrameThatIsNotAllowedEndsTheConnectionWithGoaway) {
  ConnectionFixture fixture;
  fixture.Exchange();
  // DATA on stream 0.
  fixture.connection->Receive(absl::string_view("\0\0\0\0\0\0\0\0\0", 9),
                              fixture.now_us);
  fixture.caller.Receive(fixture.FromConnection());
  ASSERT_EQ(fixture.caller.goaways().size(), 1);
  EXPECT_EQ(fixture.caller.goaways()[0].second, NGHTTP2_PROTOCOL_ERROR);
  EXPECT_TRUE(fixture.connection->is_finished());
}

void CallAndGiveUp(ConnectionFixture& fixture) {
  const int32_t stream = fixture.caller.Call(kUnaryPath, "q");
  fixture.Exchange();
  fixture.caller.Reset(stream);
  fixture.Exchange();
}

TEST(Http2Refusals, APeerThatKeepsGivingUpItsCallsIsSentAway) {
  ConnectionFixture fixture;
  int num_rounds = 0;
  while (!fixture.connection->is_finished() && num_rounds < 3'000) {
    CallAndGiveUp(fixture);
    ++num_rounds;
  }
  EXPECT_EQ(num_rounds, 1'001);
  ASSERT_EQ(fixture.caller.goaways().size(), 1);
  EXPECT_EQ(fixture.caller.goaways()[0].second, NGHTTP2_ENHANCE_YOUR_CALM);
}

TEST(Http2Refusals, APeerThatGivesUpTwoHundredCallsASecondStays) {
  ConnectionFixture fixture;
  for (int round = 0; round < 3'000; ++round) {
    CallAndGiveUp(fixture);
    fixture.Advance(5);
  }
  EXPECT_TRUE(fixture.caller.goaways().empty());
}

TEST(Http2Refusals, AFloodOfPingsWithoutReadingBreaksTheConnection) {
  ConnectionFixture fixture;
  fixture.Exchange();
  for (int i = 0; i < 3'000; ++i) fixture.caller.Ping();
  fixture.FromCaller();
  EXPECT_TRUE(fixture.connection->is_broken());
}

TEST(Http2Refusals, AnswersThatNobodyReadsAreBounded) {
  FrontOptions options;
  options.max_unread_bytes = 1 << 16;
  ConnectionFixture fixture(options);
  fixture.caller.Call(kUnaryPath, "q");
  fixture.caller.Call(kUnaryPath, "q");
  fixture.Exchange();
  fixture.handler.calls.at(0)->Answer(std::string(60'000, 'x'));
  fixture.WriteReplies();
  EXPECT_FALSE(fixture.connection->is_finished());
  fixture.handler.calls.at(1)->Answer(std::string(60'000, 'x'));
  fixture.WriteReplies();
  fixture.FromConnection();
  EXPECT_TRUE(fixture.connection->is_finished());
}

TEST(Http2Refusals, APrefaceThatDoesNotComeAndAHeadThatDoesNotEndAreNotWaitedFor) {
  ConnectionFixture silent;
  silent.connection->Receive(absl::string_view(kPreface, 10), silent.now_us);
  silent.Advance(10'000);
  EXPECT_FALSE(silent.connection->is_broken());
  silent.Advance(1);
  EXPECT_TRUE(silent.connection->is_broken());

  ConnectionFixture slow;
  slow.Exchange();
  // HEADERS without END_HEADERS, with no field yet.
  slow.connection->Receive(absl::string_view("\0\0\0\1\0\0\0\0\1", 9), slow.now_us);
  slow.Advance(10'000);
  EXPECT_FALSE(slow.connection->is_broken());
  slow.Advance(1);
  EXPECT_TRUE(slow.connection->is_broken());
}

}  // namespace
}  // namespace stepwell::front
