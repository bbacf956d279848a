// How a connection ends: drained, too old, silent.
#include <gtest/gtest.h>

#include <algorithm>

#include "cc/front/connection_fixture.h"

namespace stepwell::front {
namespace {

constexpr int32_t kAnyStream = 2'147'483'647;

TEST(Http2Drain, SaysGoawayTwiceAndServesWhatWasBegunBetween) {
  ConnectionFixture fixture;
  const int32_t before = fixture.caller.Call(kUnaryPath, "before");
  fixture.Exchange();
  const int32_t between = fixture.caller.Call(kUnaryPath, "between");
  fixture.connection->Drain(fixture.now_us);
  EXPECT_FALSE(fixture.connection->is_quiet());
  fixture.FromCaller();  // it was on its way
  fixture.Exchange();
  ASSERT_EQ(fixture.caller.goaways().size(), 2);
  EXPECT_EQ(fixture.caller.goaways()[0].first, kAnyStream);
  EXPECT_EQ(fixture.caller.goaways()[1].first, between);
  EXPECT_EQ(fixture.caller.goaways()[1].second, NGHTTP2_NO_ERROR);
  ASSERT_EQ(fixture.handler.calls.size(), 2);
  for (const auto& call : fixture.handler.calls) call->Answer("served");
  EXPECT_FALSE(fixture.connection->is_finished());
  fixture.Exchange();
  EXPECT_EQ(fixture.caller.reply(before).code(), 0);
  EXPECT_EQ(fixture.caller.reply(between).code(), 0);
  EXPECT_TRUE(fixture.connection->is_finished());
  EXPECT_TRUE(fixture.connection->is_quiet());
}

TEST(Http2Drain, APeerWithoutCallsIsFinishedAfterItsPing) {
  ConnectionFixture fixture;
  fixture.Exchange();
  EXPECT_TRUE(fixture.connection->is_quiet());
  fixture.connection->Drain(fixture.now_us);
  fixture.FromConnection();
  EXPECT_FALSE(fixture.connection->is_finished());
  EXPECT_FALSE(fixture.connection->is_quiet());
}

TEST(Http2Drain, APeerThatDoesNotAnswerThePingIsNotWaitedFor) {
  ConnectionFixture fixture;
  fixture.Exchange();
  fixture.connection->Drain(fixture.now_us);
  fixture.FromConnection();
  fixture.Advance(1'001);
  fixture.FromConnection();
  EXPECT_TRUE(fixture.connection->is_finished());
}

TEST(Http2Drain, AConnectionDrainsAtItsAgeAndEndsAfterTheGrace) {
  FrontOptions options;
  options.max_connection_age_ms = 10'000;
  options.connection_age_grace_ms = 2'000;
  ConnectionFixture fixture(options);
  const int32_t stream = fixture.caller.Call(kUnaryPath, "slow");
  fixture.Exchange();
  fixture.Advance(8'999);
  fixture.Exchange();
  EXPECT_TRUE(fixture.caller.goaways().empty());
  fixture.Advance(2'002);  // 10 % later than the age at most
  fixture.Exchange();
  EXPECT_EQ(fixture.caller.goaways().size(), 2);
  EXPECT_FALSE(fixture.connection->is_finished());
  fixture.Advance(2'001);
  fixture.Exchange();
  EXPECT_EQ(fixture.caller.reply(stream).code(), 14);
  EXPECT_TRUE(fixture.handler.calls.at(0)->is_cancelled());
  EXPECT_EQ(fixture.handler.cancelled.size(), 1);
  EXPECT_TRUE(fixture.connection->is_finished());
}

TEST(Http2Drain, ConnectionsThatCameTogetherDoNotGoTogether) {
  FrontOptions options;
  options.max_connection_age_ms = 10'000;
  ConnectionFixture fixture(options);
  std::vector<int64_t> ages_ms;
  for (uint64_t id = 1; id <= 20; ++id) {
    Http2Connection connection(id, &fixture.context, fixture.now_us);
    std::string bytes;
    connection.Gather(1 << 16, &bytes);
    int64_t age_ms = 8'900;
    while (connection.is_quiet() && age_ms < 12'000) {
      age_ms += 100;
      connection.Tick(fixture.now_us + age_ms * 1'000);
    }
    ages_ms.push_back(age_ms);
  }
  const auto [least, most] = std::minmax_element(ages_ms.begin(), ages_ms.end());
  EXPECT_GE(*least, 9'000);
  EXPECT_LE(*most, 11'000);
  EXPECT_GT(*most - *least, 1'000);
}

TEST(Http2Drain, ASilentPeerIsAskedAndThenGivenUp) {
  ConnectionFixture fixture;
  fixture.Exchange();
  fixture.Advance(60'001);
  fixture.Exchange();
  EXPECT_EQ(fixture.caller.num_pings(), 1);
  fixture.Advance(60'001);  // it has answered: the silence begins again
  fixture.FromConnection();
  fixture.Advance(20'000);
  EXPECT_FALSE(fixture.connection->is_broken());
  fixture.Advance(1);
  EXPECT_TRUE(fixture.connection->is_broken());
}

TEST(Http2Drain, TheEndOfAllReachesCallsInEveryState) {
  ConnectionFixture fixture;
  const int32_t whole = fixture.caller.Call(kUnaryPath, "q");
  const int32_t partial = fixture.caller.Begin(kUnaryPath, std::nullopt);
  const int32_t stream = fixture.caller.Begin(kStreamPath, std::nullopt);
  fixture.Exchange();
  fixture.connection->EndAll({14, "the server is going", {}}, fixture.now_us);
  fixture.Exchange();
  for (const int32_t id : {whole, partial, stream}) {
    EXPECT_EQ(fixture.caller.reply(id).code(), 14);
  }
  EXPECT_TRUE(fixture.connection->is_finished());
  EXPECT_EQ(fixture.handler.cancelled.size(), 2);
  EXPECT_EQ(fixture.counters().num_open, 0);
}

}  // namespace
}  // namespace stepwell::front
