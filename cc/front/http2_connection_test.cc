// Calls that go well: what reaches the handler, what the caller reads.
#include "cc/front/http2_connection.h"

#include <gtest/gtest.h>

#include "cc/front/connection_fixture.h"

namespace stepwell::front {
namespace {

// Fields 1 to 4 of the fixture's unary method.
constexpr absl::string_view kPeekable(
    "\x08\x03\x10\x32\x1a\x04"
    "user\x20\x01",
    12);

TEST(Http2Connection, AnswersAUnaryCallWithOneMessageAndStatusOk) {
  ConnectionFixture fixture;
  const int32_t stream = fixture.caller.Call(kUnaryPath, "question");
  fixture.Exchange();
  ASSERT_EQ(fixture.handler.calls.size(), 1);
  EXPECT_EQ(fixture.handler.calls[0]->message(), "question");
  EXPECT_EQ(fixture.handler.calls[0]->method(), kUnary);
  EXPECT_EQ(fixture.counters().num_open, 1);
  fixture.handler.calls[0]->Answer("answer");
  fixture.Exchange();
  const CallerReply& reply = fixture.caller.reply(stream);
  EXPECT_EQ(reply.Field(":status"), "200");
  EXPECT_EQ(reply.Field("content-type"), "application/grpc");
  EXPECT_EQ(reply.body, Framed("answer"));
  EXPECT_EQ(reply.code(), 0);
  EXPECT_EQ(reply.num_heads, 2);
  EXPECT_TRUE(reply.is_closed);
  EXPECT_EQ(reply.error_code, NGHTTP2_NO_ERROR);
  EXPECT_EQ(fixture.counters().num_open, 0);
  EXPECT_EQ(fixture.counters().num_calls, 1);
  EXPECT_EQ(fixture.counters().num_cancelled, 0);
}

TEST(Http2Connection, AnswersAnEmptyMessageWithAnEmptyOne) {
  ConnectionFixture fixture;
  const int32_t stream = fixture.caller.Call(kUnaryPath, "");
  fixture.Exchange();
  fixture.handler.calls.at(0)->Answer("");
  fixture.Exchange();
  EXPECT_EQ(fixture.caller.reply(stream).body, Framed(""));
  EXPECT_EQ(fixture.caller.reply(stream).code(), 0);
}

TEST(Http2Connection, OnlyTheFirstEndCounts) {
  ConnectionFixture fixture;
  const int32_t stream = fixture.caller.Call(kUnaryPath, "q");
  fixture.Exchange();
  fixture.handler.calls.at(0)->Fail({5, "no such \"thing\": 100 %", {}});
  fixture.handler.calls.at(0)->Answer("too late");
  fixture.Exchange();
  EXPECT_EQ(fixture.caller.reply(stream).code(), 5);
  EXPECT_EQ(fixture.caller.reply(stream).message(), "no such \"thing\": 100 %25");
  EXPECT_EQ(fixture.caller.reply(stream).body, "");
  EXPECT_EQ(fixture.caller.reply(stream).num_heads, 1);
}

TEST(Http2Connection, TrailersOfAFailureReachTheCallerAndBadOnesAreLeftOut) {
  ConnectionFixture fixture;
  const int32_t stream = fixture.caller.Call(kUnaryPath, "q");
  fixture.Exchange();
  fixture.handler.calls.at(0)->Fail({8,
                                     "",
                                     {{"x-text", "value"},
                                      {"x-raw-bin", std::string("\0\xff", 2)},
                                      {"Bad Name", "v"},
                                      {"x-bad", "line\nbreak"},
                                      {"x-long", std::string(9'000, 'x')}}});
  fixture.Exchange();
  const CallerReply& reply = fixture.caller.reply(stream);
  EXPECT_EQ(reply.code(), 8);
  EXPECT_EQ(reply.Field("x-text"), "value");
  EXPECT_EQ(reply.Field("x-raw-bin"), "AP8");
  EXPECT_EQ(reply.fields.size(), 5);
  EXPECT_EQ(reply.num_bad_fields, 0);
}

TEST(Http2Connection, AVeryLongMessageOfAFailureIsCut) {
  ConnectionFixture fixture;
  const int32_t stream = fixture.caller.Call(kUnaryPath, "q");
  fixture.Exchange();
  fixture.handler.calls.at(0)->Fail({13, std::string(100'000, 'm'), {}});
  fixture.Exchange();
  EXPECT_EQ(fixture.caller.reply(stream).message(), std::string(2'048, 'm'));
}

TEST(Http2Connection, MetadataComesWithoutWhatTheProtocolNeeds) {
  ConnectionFixture fixture;
  fixture.caller.Call(kUnaryPath, "q",
                      {{"x-one", "1"},
                       {"grpc-timeout", "5S"},
                       {"grpc-accept-encoding", "gzip"},
                       {"x-raw-bin", "AP8=,aGk"}});
  fixture.Exchange();
  const Metadata expected = {
      {"x-one", "1"}, {"x-raw-bin", std::string("\0\xff", 2)}, {"x-raw-bin", "hi"}};
  EXPECT_EQ(fixture.handler.calls.at(0)->metadata(), expected);
}

TEST(Http2Connection, ThePeekedFieldsAndTheEarlierDeadlineAreOfTheCall) {
  ConnectionFixture fixture;
  fixture.caller.Call(kUnaryPath, kPeekable, {{"grpc-timeout", "60m"}});
  fixture.caller.Call(kUnaryPath, kPeekable, {{"grpc-timeout", "10u"}});
  fixture.caller.Call(kUnaryPath, "");
  fixture.Exchange();
  ASSERT_EQ(fixture.handler.calls.size(), 3);
  const Call& call = *fixture.handler.calls[0];
  EXPECT_EQ(call.arrived_us(), fixture.now_us);
  EXPECT_EQ(call.deadline_us(), fixture.now_us + 50'000);
  EXPECT_TRUE(call.has_grpc_deadline());
  EXPECT_EQ(call.priority(), 2);
  EXPECT_TRUE(call.is_forced());
  EXPECT_EQ(fixture.handler.calls[1]->deadline_us(), fixture.now_us + 10);
  const Call& plain = *fixture.handler.calls[2];
  EXPECT_EQ(plain.deadline_us(), fixture.now_us + 200'000);
  EXPECT_FALSE(plain.has_grpc_deadline());
  EXPECT_EQ(plain.priority(), 0);
  EXPECT_FALSE(plain.is_forced());
  EXPECT_NE(plain.key_hash(), call.key_hash());
}

TEST(Http2Connection, OfAMessageWithATooLongListNothingIsKeptButTheCount) {
  ConnectionFixture fixture;
  constexpr absl::string_view kEntries("*\x01x*\x01y*\x01z", 9);
  fixture.caller.Call(kUnaryPath, kEntries.substr(3));
  const int32_t stream = fixture.caller.Call(kUnaryPath, kEntries);
  fixture.caller.Call(kSidePath, absl::string_view("\x0a\x00\x0a\x00", 4));
  fixture.Exchange();
  ASSERT_EQ(fixture.handler.calls.size(), 2);
  EXPECT_EQ(fixture.handler.calls[0]->excess().field, 0);
  EXPECT_EQ(fixture.handler.calls[0]->message(), kEntries.substr(3));
  EXPECT_EQ(fixture.handler.calls[1]->excess().field, 5);
  EXPECT_EQ(fixture.handler.calls[1]->excess().num_entries, 3);
  EXPECT_EQ(fixture.handler.calls[1]->message(), "");
  EXPECT_EQ(fixture.handler.events.at(0).call->excess().num_entries, 2);
  EXPECT_EQ(fixture.handler.events.at(0).message, "");
  // It is a call like any other: whoever takes it says what was wrong.
  fixture.handler.calls[1]->Fail({3, "too many", {}});
  fixture.Exchange();
  EXPECT_EQ(fixture.caller.reply(stream).code(), 3);
}

TEST(Http2Connection, ADeadlineFarAwayIsCutAndASideCallMayHaveNone) {
  ConnectionFixture fixture;
  fixture.caller.Call(kUnaryPath, "", {{"grpc-timeout", "99999999H"}});
  fixture.caller.Call(kSidePath, "");
  fixture.Exchange();
  EXPECT_EQ(fixture.handler.calls.at(0)->deadline_us(), fixture.now_us + 60'000'000);
  EXPECT_TRUE(fixture.handler.calls.at(0)->has_grpc_deadline());
  EXPECT_EQ(fixture.handler.events.at(0).call->deadline_us(), kNoDeadline);
}

TEST(Http2Connection, TheTimeoutCountsFromTheHeadAndTheArrivalFromTheEnd) {
  ConnectionFixture fixture;
  const int32_t stream =
      fixture.caller.Begin(kUnaryPath, std::nullopt, {{"grpc-timeout", "1S"}});
  fixture.Exchange();
  const int64_t begun_us = fixture.now_us;
  fixture.Advance(300);
  fixture.caller.Send(stream, Framed("late"), true);
  fixture.Exchange();
  const Call& call = *fixture.handler.calls.at(0);
  EXPECT_EQ(call.arrived_us(), begun_us + 300'000);
  EXPECT_EQ(call.deadline_us(), begun_us + 1'000'000);
}

TEST(Http2Connection, AMessageMayComeByteByByte) {
  ConnectionFixture fixture;
  fixture.caller.Call(kUnaryPath, "in pieces");
  const std::string bytes = fixture.caller.Gather();
  for (const char byte : bytes) {
    fixture.connection->Receive(absl::string_view(&byte, 1), fixture.now_us);
  }
  ASSERT_EQ(fixture.handler.calls.size(), 1);
  EXPECT_EQ(fixture.handler.calls[0]->message(), "in pieces");
}

TEST(Http2Connection, LargeMessagesPassBothWindowsInManyStreams) {
  ConnectionFixture fixture;
  const std::string message(200'000, 'm');
  std::vector<int32_t> streams;
  for (int i = 0; i < 20; ++i)
    streams.push_back(fixture.caller.Call(kUnaryPath, message));
  fixture.Exchange();
  ASSERT_EQ(fixture.handler.calls.size(), 20);
  EXPECT_EQ(fixture.context.partial_bytes, 0);
  for (const auto& call : fixture.handler.calls)
    call->Answer(std::string(call->message()));
  fixture.Exchange();
  for (const int32_t stream : streams) {
    EXPECT_EQ(fixture.caller.reply(stream).body, Framed(message));
    EXPECT_EQ(fixture.caller.reply(stream).code(), 0);
  }
}

TEST(Http2Connection, ASideCallComesWholeAndIsAnswered) {
  ConnectionFixture fixture;
  const int32_t stream = fixture.caller.Call(kSidePath, "event");
  fixture.Exchange();
  ASSERT_EQ(fixture.handler.events.size(), 1);
  EXPECT_EQ(fixture.handler.events[0].kind, SideEvent::kMessage);
  EXPECT_EQ(fixture.handler.events[0].message, "event");
  fixture.handler.events[0].call->Answer("noted");
  fixture.Exchange();
  EXPECT_EQ(fixture.caller.reply(stream).body, Framed("noted"));
}

TEST(Http2Connection, AStreamBringsEachMessageAndSendsSome) {
  ConnectionFixture fixture;
  const int32_t stream = fixture.caller.Begin(kStreamPath, std::nullopt);
  fixture.caller.Send(stream, Framed("one") + Framed("two"), false);
  fixture.Exchange();
  ASSERT_EQ(fixture.handler.events.size(), 2);
  EXPECT_EQ(fixture.handler.events[1].message, "two");
  const std::shared_ptr<Call> call = fixture.handler.events[0].call;
  EXPECT_EQ(call, fixture.handler.events[1].call);
  call->Send("first");
  fixture.Exchange();
  EXPECT_EQ(fixture.caller.reply(stream).body, Framed("first"));
  EXPECT_FALSE(fixture.caller.reply(stream).is_closed);
  call->Send("second");
  call->Send("third");
  fixture.caller.Send(stream, "", true);
  fixture.Exchange();
  EXPECT_EQ(fixture.handler.events.at(2).kind, SideEvent::kHalfClosed);
  call->Fail({0, "", {}});
  fixture.Exchange();
  const CallerReply& reply = fixture.caller.reply(stream);
  EXPECT_EQ(reply.body, Framed("first") + Framed("second") + Framed("third"));
  EXPECT_EQ(reply.code(), 0);
  EXPECT_TRUE(reply.is_closed);
  EXPECT_TRUE(fixture.handler.cancelled.empty());
}

TEST(Http2Connection, AStreamThatEndsBeforeItsCallerIsClosedWithoutAnError) {
  ConnectionFixture fixture;
  const int32_t stream = fixture.caller.Begin(kStreamPath, std::nullopt);
  fixture.caller.Send(stream, Framed("one"), false);
  fixture.Exchange();
  fixture.handler.events.at(0).call->Fail({12, "enough", {}});
  fixture.Exchange();
  EXPECT_EQ(fixture.caller.reply(stream).code(), 12);
  EXPECT_TRUE(fixture.caller.reply(stream).is_closed);
  EXPECT_EQ(fixture.caller.reply(stream).error_code, NGHTTP2_NO_ERROR);
  EXPECT_EQ(fixture.counters().num_open, 0);
}

TEST(Http2Connection, AResetCancelsTheCallOnceAndItsAnswerGoesNowhere) {
  ConnectionFixture fixture;
  const int32_t stream = fixture.caller.Call(kUnaryPath, "q");
  fixture.Exchange();
  fixture.caller.Reset(stream);
  fixture.Exchange();
  const std::shared_ptr<Call> call = fixture.handler.calls.at(0);
  EXPECT_TRUE(call->is_cancelled());
  ASSERT_EQ(fixture.handler.cancelled.size(), 1);
  EXPECT_EQ(fixture.handler.cancelled[0], call);
  call->Answer("nobody reads it");
  EXPECT_TRUE(fixture.sink->replies.empty());
  EXPECT_EQ(fixture.counters().num_cancelled, 1);
  EXPECT_EQ(fixture.counters().num_open, 0);
}

TEST(Http2Connection, ALostConnectionCancelsEveryCall) {
  ConnectionFixture fixture;
  fixture.caller.Call(kUnaryPath, "one");
  fixture.caller.Call(kSidePath, "two");
  const int32_t partial = fixture.caller.Begin(kUnaryPath, std::nullopt);
  fixture.caller.Send(partial, Framed("three").substr(0, 7), false);
  fixture.Exchange();
  EXPECT_EQ(fixture.context.partial_bytes, 2);
  fixture.connection.reset();
  EXPECT_EQ(fixture.handler.cancelled.size(), 2);
  EXPECT_TRUE(fixture.handler.calls.at(0)->is_cancelled());
  EXPECT_EQ(fixture.counters().num_cancelled, 3);
  EXPECT_EQ(fixture.counters().num_open, 0);
  EXPECT_EQ(fixture.context.partial_bytes, 0);
}

}  // namespace
}  // namespace stepwell::front
