// Counts, hand-overs and what may go wrong with them, without a front.
#include "cc/front/siblings.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <thread>
#include <utility>

#include "cc/base/field_error.h"
#include "cc/front/seat_fixture.h"
#include "cc/front/sibling_host.h"

namespace stepwell::front {
namespace {

constexpr int64_t kAnybody = 1 << 20;

// A connection with both of its ends.
struct Connection {
  explicit Connection(int type = SOCK_STREAM | SOCK_NONBLOCK) {
    std::array<int, 2> ends = {-1, -1};
    EXPECT_EQ(socketpair(AF_UNIX, type, 0, ends.data()), 0);
    ours = Descriptor(ends[0]);
    callers = Descriptor(ends[1]);
  }

  // Whether nobody has our end any more.
  bool is_over() const {
    char byte = 0;
    return recv(callers.get(), &byte, 1, MSG_DONTWAIT) == 0;
  }

  Descriptor ours;
  Descriptor callers;
};

std::unique_ptr<SiblingPage> Page(int num_slots) {
  auto page = SiblingPage::Create(num_slots);
  EXPECT_TRUE(page.ok()) << page.status();
  return *std::move(page);
}

TEST(SiblingPage, AClosedSlotCountsNothingAndIsNobodysChoice) {
  const auto page = Page(2);
  EXPECT_EQ(page->Count(0), SiblingPage::kClosed);
  EXPECT_FALSE(page->Claim(kAnybody).has_value());
  const uint32_t generation = page->Open(1);
  EXPECT_EQ(page->Claim(kAnybody)->slot, 1);
  EXPECT_EQ(page->Count(1), 1);
  page->Close(1);
  page->Add(1, generation);
  page->Remove(1, generation);
  EXPECT_EQ(page->Count(1), SiblingPage::kClosed);
}

TEST(SiblingPage, TheFewestIsChosenWhenItHasFewer) {
  const auto page = Page(3);
  const uint32_t first = page->Open(0);
  page->Open(1);
  page->Open(2);
  page->Add(0, first);
  EXPECT_EQ(page->Claim(1)->slot, 1);
  EXPECT_EQ(page->Claim(1)->slot, 2);
  EXPECT_FALSE(page->Claim(1).has_value());
  page->Remove(0, first);
  EXPECT_EQ(page->Claim(1)->slot, 0);
}

TEST(SiblingPage, WhatWasCountedForAFormerOwnerIsNotTheNextOnes) {
  const auto page = Page(1);
  const uint32_t former = page->Open(0);
  page->Add(0, former);
  const uint32_t next = page->Open(0);
  EXPECT_NE(former, next);
  EXPECT_EQ(page->Count(0), 0);
  page->Add(0, next);
  page->Remove(0, former);
  EXPECT_EQ(page->Count(0), 1);
}

TEST(SiblingPage, CountsOfManyThreadsAreNotLost) {
  const auto page = Page(2);
  page->Open(0);
  page->Open(1);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&page] {
      for (int j = 0; j < 1000; ++j) {
        const auto claimed = page->Claim(kAnybody);
        // Others may have been quicker every time.
        if (claimed.has_value() && j % 2 == 0) {
          page->Remove(claimed->slot, claimed->generation);
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const int64_t total = page->Count(0) + page->Count(1);
  EXPECT_LE(total, 2000);
  EXPECT_GT(total, 0);
  EXPECT_LE(std::abs(page->Count(0) - page->Count(1)), 8);
}

TEST(SiblingPage, NobodyCanMakeItShorter) {
  const auto page = Page(4);
  EXPECT_NE(ftruncate(page->fd(), 0), 0);
  EXPECT_NE(ftruncate(page->fd(), 4096), 0);
}

// Two siblings of three slots, open.
class SiblingsTest : public testing::Test {
 protected:
  SiblingsTest() {
    auto host = SiblingHost::Create(3);
    EXPECT_TRUE(host.ok()) << host.status();
    host_ = *std::move(host);
    for (int slot = 0; slot < 2; ++slot) {
      auto joined = Siblings::Join(InheritedSeat(*host_, slot));
      EXPECT_TRUE(joined.ok()) << joined.status();
      siblings_.push_back(*std::move(joined));
      siblings_[slot]->Open();
    }
  }

  // In the socket of slot 1, whatever it is.
  void Gift(const Descriptor& descriptor) {
    siblings_[0]->Add();
    ASSERT_TRUE(siblings_[0]->Give(descriptor));
  }

  std::unique_ptr<SiblingHost> host_;
  std::vector<std::unique_ptr<Siblings>> siblings_;
};

TEST_F(SiblingsTest, AConnectionComesWholeAndIsCountedAtOnce) {
  Connection connection;
  EXPECT_FALSE(siblings_[0]->Give(connection.ours)) << "a tie: it keeps it";
  siblings_[0]->Add();
  ASSERT_TRUE(siblings_[0]->Give(connection.ours));
  EXPECT_EQ(host_->Count(1), 1);
  connection.ours.Close();
  EXPECT_FALSE(connection.is_over());
  const Arrival arrival = siblings_[1]->Take();
  ASSERT_EQ(arrival.kind, Arrival::kConnection);
  EXPECT_EQ(host_->Count(1), 1);
  EXPECT_NE(fcntl(arrival.connection.get(), F_GETFD) & FD_CLOEXEC, 0);
  ASSERT_EQ(send(arrival.connection.get(), "x", 1, 0), 1);
  char byte = 0;
  EXPECT_EQ(recv(connection.callers.get(), &byte, 1, 0), 1);
  EXPECT_EQ(siblings_[1]->Take().kind, Arrival::kNothing);
}

TEST_F(SiblingsTest, AClosedOneGivesAllAwayAndGetsNone) {
  siblings_[0]->Close();
  const Connection connection;
  for (int i = 1; i <= 5; ++i) {
    EXPECT_TRUE(siblings_[0]->Give(connection.ours));
    EXPECT_EQ(host_->Count(1), i);
  }
  siblings_[1]->Close();
  EXPECT_FALSE(siblings_[0]->Give(connection.ours));
}

TEST_F(SiblingsTest, AFullSocketChangesNothing) {
  siblings_[0]->Close();
  const Connection connection;
  int64_t num_given = 0;
  while (num_given < 4096 && siblings_[0]->Give(connection.ours)) ++num_given;
  // As many as a burst of connections, and not for ever.
  EXPECT_GE(num_given, 64);
  EXPECT_LT(num_given, 4096);
  EXPECT_EQ(host_->Count(1), num_given);
  EXPECT_EQ(siblings_[1]->Take().kind, Arrival::kConnection);
}

TEST_F(SiblingsTest, WhatIsNoConnectionIsClosedAndNotCounted) {
  const Connection datagrams(SOCK_DGRAM | SOCK_NONBLOCK);
  Gift(datagrams.ours);
  EXPECT_EQ(siblings_[1]->Take().kind, Arrival::kUnusable);
  const Connection blocking(SOCK_STREAM);
  Gift(blocking.ours);
  EXPECT_EQ(siblings_[1]->Take().kind, Arrival::kUnusable);
  const Descriptor file(open("/dev/null", O_RDONLY | O_CLOEXEC));
  Gift(file);
  EXPECT_EQ(siblings_[1]->Take().kind, Arrival::kUnusable);
  EXPECT_EQ(host_->Count(1), 0);
  // A message without a descriptor, and one of another length.
  const int outbox = host_->SeatOf(0).sockets[1];
  ASSERT_EQ(send(outbox, "0123", 4, 0), 4);
  EXPECT_EQ(siblings_[1]->Take().kind, Arrival::kUnusable);
  ASSERT_EQ(send(outbox, "0123456789", 10, 0), 10);
  EXPECT_EQ(siblings_[1]->Take().kind, Arrival::kUnusable);
  EXPECT_EQ(siblings_[1]->Take().kind, Arrival::kNothing);
}

TEST_F(SiblingsTest, WhoOpensAgainTakesWhatWaitsAndCountsIt) {
  Connection connection;
  Gift(connection.ours);
  siblings_[1].reset();  // the process ends, the socket stays
  EXPECT_EQ(host_->Count(1), SiblingPage::kClosed);
  auto successor = Siblings::Join(InheritedSeat(*host_, 1));
  ASSERT_TRUE(successor.ok());
  (*successor)->Open();
  EXPECT_EQ(host_->Count(1), 0);
  EXPECT_EQ((*successor)->Take().kind, Arrival::kConnection);
  EXPECT_EQ(host_->Count(1), 1);
}

TEST_F(SiblingsTest, TheHostPassesOnWhatWasForOneThatHasDied) {
  Connection first;
  Connection second;
  Gift(first.ours);
  Gift(second.ours);
  first.ours.Close();
  second.ours.Close();
  EXPECT_EQ(host_->PassOn(1).num_given, 0) << "its owner lives";
  host_->Close(1);
  EXPECT_EQ(host_->PassOn(1).num_given, 2);
  EXPECT_EQ(host_->Count(0), 4);
  const Arrival arrival = siblings_[0]->Take();
  EXPECT_EQ(arrival.kind, Arrival::kConnection);
  EXPECT_FALSE(first.is_over());
}

TEST_F(SiblingsTest, TheHostClosesWhatNobodyIsLeftFor) {
  Connection connection;
  Gift(connection.ours);
  connection.ours.Close();
  host_->Close(0);
  host_->Close(1);
  EXPECT_EQ(host_->PassOn(1).num_closed, 1);
  EXPECT_TRUE(connection.is_over());
}

TEST_F(SiblingsTest, DescriptorsOfASeatAreKeptFromOtherPrograms) {
  const SiblingSeat seat = InheritedSeat(*host_, 2);
  ASSERT_EQ(fcntl(seat.page, F_GETFD) & FD_CLOEXEC, 0);
  const auto joined = Siblings::Join(seat);
  ASSERT_TRUE(joined.ok());
  EXPECT_NE(fcntl(seat.page, F_GETFD) & FD_CLOEXEC, 0);
  for (const int socket : seat.sockets) {
    EXPECT_NE(fcntl(socket, F_GETFD) & FD_CLOEXEC, 0);
  }
}

TEST_F(SiblingsTest, WhatIsNoSeatIsNamed) {
  SiblingSeat seat = InheritedSeat(*host_, 0);
  seat.slot = 3;
  EXPECT_EQ(Siblings::Join(seat).status().message(), "slot is 3, must be in [0, 2]");
  seat = InheritedSeat(*host_, 0);
  close(seat.sockets.back());
  seat.sockets.pop_back();
  EXPECT_EQ(FieldOf(Siblings::Join(seat).status()), "num_sockets");
  seat = InheritedSeat(*host_, 0);
  close(seat.sockets[1]);
  seat.sockets[1] = open("/dev/null", O_RDONLY | O_CLOEXEC);
  EXPECT_EQ(FieldOf(Siblings::Join(seat).status()), "sockets");
  seat = InheritedSeat(*host_, 0);
  close(seat.page);
  seat.page = open("/dev/null", O_RDONLY | O_CLOEXEC);
  EXPECT_EQ(FieldOf(Siblings::Join(seat).status()), "page");
  EXPECT_EQ(FieldOf(Siblings::Join({}).status()), "page");
  EXPECT_EQ(FieldOf(SiblingHost::Create(0).status()), "num_slots");
}

}  // namespace
}  // namespace stepwell::front
