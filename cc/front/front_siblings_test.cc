// Fronts on one port that share its connections evenly.
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "cc/front/connection_fixture.h"
#include "cc/front/front.h"
#include "cc/front/listener.h"
#include "cc/front/seat_fixture.h"
#include "cc/front/sibling_host.h"
#include "cc/front/sibling_socket.h"
#include "cc/front/siblings.h"
#include "cc/front/socket_caller_fixture.h"

namespace stepwell::front {
namespace {

constexpr int64_t kLongUs = 10'000'000;

// A front with a slot, and a worker that echoes.
class Member {
 public:
  Member(const SiblingHost& host, int slot, FrontOptions options) {
    auto siblings = Siblings::Join(InheritedSeat(host, slot));
    EXPECT_TRUE(siblings.ok()) << siblings.status();
    options.shared_port = true;
    auto front = Front::Open(options, FixtureMethods(), &queue_, *std::move(siblings));
    EXPECT_TRUE(front.ok()) << front.status();
    front_ = *std::move(front);
    worker_ = std::thread([this] {
      while (const std::shared_ptr<Call> call = queue_.Take()) {
        call->Answer(std::string(call->message()));
      }
    });
    EXPECT_TRUE(front_->Listen().ok());
  }

  ~Member() {
    queue_.Close();
    worker_.join();
  }

  Front* operator->() { return front_.get(); }

 private:
  AdmissionQueue queue_{64};
  std::unique_ptr<Front> front_;
  std::thread worker_;
};

class FrontSiblingsTest : public testing::Test {
 protected:
  FrontSiblingsTest() {
    auto host = SiblingHost::Create(3);
    EXPECT_TRUE(host.ok()) << host.status();
    host_ = *std::move(host);
  }

  Member& Join(int slot) {
    members_.push_back(std::make_unique<Member>(*host_, slot, options_));
    options_.port = (*members_.back())->port();
    return *members_.back();
  }

  // A connection that has had an answer: it is with its front.
  std::unique_ptr<SocketCaller> Answered() {
    auto caller = std::make_unique<SocketCaller>(options_.port);
    EXPECT_EQ(caller->Wait(caller->http2.Call(kUnaryPath, "q")).code(), 0);
    return caller;
  }

  void Connect(int num_callers) {
    for (int i = 0; i < num_callers; ++i) callers_.push_back(Answered());
  }

  // A caller whose connection is sent to a slot by one who takes it for open.
  std::unique_ptr<SocketCaller> Gift(int slot) {
    const auto listener = Listener::Bind("127.0.0.1", 0, /*shared=*/false);
    EXPECT_TRUE(listener.ok() && (*listener)->Listen().ok());
    auto caller = std::make_unique<SocketCaller>((*listener)->port());
    const auto page = SiblingPage::Create(host_->num_slots());
    (*page)->Open(slot);
    std::vector<Descriptor> outboxes;
    for (int i = 0; i < host_->num_slots(); ++i) {
      const int other = (i + 1) % host_->num_slots();
      outboxes.emplace_back(dup(host_->SeatOf(other).sockets[i]));
    }
    EXPECT_TRUE(HandOver((*listener)->Accept(), INT64_MAX, outboxes, page->get()));
    return caller;
  }

  FrontOptions options_;
  std::unique_ptr<SiblingHost> host_;
  std::vector<std::unique_ptr<Member>> members_;
  std::vector<std::unique_ptr<SocketCaller>> callers_;
};

TEST_F(FrontSiblingsTest, ConnectionsAreEvenToTheLast) {
  Member& first = Join(0);
  Member& second = Join(1);
  // At once, and answered later.
  for (int i = 0; i < 64; ++i) {
    callers_.push_back(std::make_unique<SocketCaller>(options_.port));
  }
  for (auto& caller : callers_) {
    EXPECT_EQ(caller->Wait(caller->http2.Call(kUnaryPath, "q")).body, Framed("q"));
  }
  EXPECT_EQ(first->counters().num_connections, 32);
  EXPECT_EQ(second->counters().num_connections, 32);
  EXPECT_EQ(host_->Count(0), 32);
  EXPECT_EQ(host_->Count(1), 32);
  EXPECT_EQ(first->counters().num_accepted + second->counters().num_accepted, 64);
  EXPECT_EQ(first->counters().num_given, second->counters().num_adopted);
  EXPECT_EQ(second->counters().num_given, first->counters().num_adopted);
}

TEST_F(FrontSiblingsTest, WhoComesLaterCatchesUp) {
  Member& first = Join(0);
  Connect(4);
  Member& second = Join(1);
  Connect(4);
  EXPECT_EQ(first->counters().num_connections, 4);
  EXPECT_EQ(second->counters().num_connections, 4);
}

TEST_F(FrontSiblingsTest, WhoWentCountsNoMore) {
  Join(0);
  Connect(3);
  callers_.pop_back();
  // Its end came before this one's call, and is seen before.
  const auto next = Answered();
  EXPECT_EQ(host_->Count(0), 3);
}

TEST_F(FrontSiblingsTest, WhoIsOneTooManyDoesNotCount) {
  options_.max_connections = 1;
  Join(0);
  Join(1);
  Connect(2);
  SocketCaller third(options_.port);
  EXPECT_TRUE(third.ReadUntil([&] { return !third.http2.goaways().empty(); }));
  EXPECT_TRUE(third.ReadsEnd());
  EXPECT_EQ(host_->Count(0), 1);
  EXPECT_EQ(host_->Count(1), 1);
}

TEST_F(FrontSiblingsTest, WhoDrainsGetsNone) {
  Member& first = Join(0);
  Member& second = Join(1);
  second->Drain();
  EXPECT_EQ(host_->Count(1), SiblingPage::kClosed);
  Connect(8);
  EXPECT_EQ(first->counters().num_connections, 8);
  EXPECT_EQ(second->counters().num_accepted, 0);
}

TEST_F(FrontSiblingsTest, WhoseSocketIsFullGetsNone) {
  Member& first = Join(0);
  // One that stands still: it is open, and its socket is never read.
  const auto stuck = Siblings::Join(InheritedSeat(*host_, 1));
  ASSERT_TRUE(stuck.ok());
  const int outbox = host_->SeatOf(0).sockets[1];
  while (send(outbox, "full", 4, MSG_DONTWAIT) > 0) {
  }
  (*stuck)->Open();
  Connect(8);
  EXPECT_EQ(first->counters().num_connections, 8);
  EXPECT_EQ(first->counters().num_given, 0);
  EXPECT_EQ(host_->Count(1), 0);
}

TEST_F(FrontSiblingsTest, WhatComesWhileItDrainsGoesToAnother) {
  Member& first = Join(0);
  Member& second = Join(1);
  second->Drain();
  const auto caller = Gift(1);
  EXPECT_EQ(caller->Wait(caller->http2.Call(kUnaryPath, "q")).code(), 0);
  EXPECT_EQ(second->counters().num_given, 1);
  EXPECT_EQ(first->counters().num_adopted, 1);
  EXPECT_EQ(host_->Count(0), 1);
}

TEST_F(FrontSiblingsTest, WhatComesWhenAllDrainIsAskedToGo) {
  Member& only = Join(0);
  only->Drain();
  const auto caller = Gift(0);
  EXPECT_EQ(caller->Wait(caller->http2.Call(kUnaryPath, "q")).code(), 0);
  EXPECT_TRUE(caller->ReadsEnd());
  EXPECT_FALSE(caller->http2.goaways().empty());
  EXPECT_TRUE(only->WaitIdle(kLongUs));
  EXPECT_EQ(only->counters().num_adopted, 1);
}

TEST_F(FrontSiblingsTest, WhatIsNoConnectionIsCountedAndHarmsNobody) {
  Member& only = Join(0);
  ASSERT_EQ(send(host_->SeatOf(1).sockets[0], "x", 1, 0), 1);
  Connect(1);
  EXPECT_EQ(only->counters().num_unusable, 1);
  EXPECT_EQ(only->counters().num_connections, 1);
}

}  // namespace
}  // namespace stepwell::front
