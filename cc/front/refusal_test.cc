#include "cc/front/refusal.h"

#include <string>

#include "gtest/gtest.h"

namespace stepwell::front {
namespace {

TEST(RefusalTest, AnOverloadSaysHowManyAreAheadAndWhenToComeBack) {
  const CallStatus status =
      StatusOf({.why = Refusal::kOverload, .num_ahead = 7, .pushback_ms = 2'345});
  EXPECT_EQ(status.code, 8);
  EXPECT_EQ(status.message, "overloaded: 7 requests are ahead");
  ASSERT_EQ(status.trailers.size(), 2);
  EXPECT_EQ(status.trailers[1].first, "grpc-retry-pushback-ms");
  EXPECT_EQ(status.trailers[1].second, "2345");
}

// The real messages are held against this in Python's admission_queue_test.
TEST(RefusalTest, TheDetailsAreAStatusWithRetryInfo) {
  const Metadata trailers = RefusalTrailers(7, 2'345);
  EXPECT_EQ(trailers[0].first, "grpc-status-details-bin");
  const std::string any =
      "\x0a\x28type.googleapis.com/google.rpc.RetryInfo"
      "\x12\x0a\x0a\x08\x08\x02\x10\xc0\x90\xc1\xa4\x01";
  EXPECT_EQ(trailers[0].second, "\x08\x08\x12\x20overloaded: 7 requests are ahead\x1a" +
                                    std::string(1, static_cast<char>(any.size())) +
                                    any);
}

TEST(RefusalTest, ATooShortDeadlineIsSaidWithWhatWasLeft) {
  const CallStatus status = StatusOf({.why = Refusal::kTooLate, .left_us = 250});
  EXPECT_EQ(status.code, 4);
  EXPECT_EQ(status.message,
            "250 us are left of the deadline: too little for any answer");
  EXPECT_TRUE(status.trailers.empty());
  EXPECT_EQ(StatusOf({.why = Refusal::kTooLate, .left_us = -9}).message.substr(0, 5),
            "0 us ");
}

TEST(RefusalTest, AStoppingServerMayBeAskedElsewhere) {
  EXPECT_EQ(StatusOf({.why = Refusal::kClosed}).code, 14);
}

}  // namespace
}  // namespace stepwell::front
