#include "cc/front/outbox.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <memory>
#include <vector>

namespace stepwell::front {
namespace {

bool IsReadable(const Outbox& outbox) {
  pollfd waited = {outbox.fd(), POLLIN, 0};
  return poll(&waited, 1, 0) == 1;
}

std::shared_ptr<Call> NewCall(const std::shared_ptr<Outbox>& outbox) {
  return std::make_shared<Call>(CallFields{}, outbox);
}

TEST(Outbox, WakesOnceASleepAndNeverOneWhoIsAwake) {
  const auto outbox = std::make_shared<Outbox>();
  NewCall(outbox)->Answer("awake");
  EXPECT_FALSE(IsReadable(*outbox));
  EXPECT_FALSE(outbox->BeginSleep());
  std::vector<Reply> replies;
  outbox->TakeAll(&replies);
  EXPECT_EQ(replies.size(), 1);
  ASSERT_TRUE(outbox->BeginSleep());
  NewCall(outbox)->Answer("asleep");
  EXPECT_TRUE(IsReadable(*outbox));
  outbox->ClearSignal();
  NewCall(outbox)->Answer("it was woken already");
  EXPECT_FALSE(IsReadable(*outbox));
  replies.clear();
  outbox->TakeAll(&replies);
  EXPECT_EQ(replies.size(), 2);
  EXPECT_EQ(replies[0].message, "asleep");
}

TEST(Outbox, KeepsNothingOnceClosedAndFreesWhatItKept) {
  const auto outbox = std::make_shared<Outbox>();
  const std::weak_ptr<Call> kept = [&] {
    const auto call = NewCall(outbox);
    call->Answer("never sent");
    return std::weak_ptr<Call>(call);
  }();
  EXPECT_FALSE(kept.expired());
  outbox->Close();
  EXPECT_TRUE(kept.expired());
  NewCall(outbox)->Answer("late");
  EXPECT_TRUE(outbox->BeginSleep());
}

}  // namespace
}  // namespace stepwell::front
