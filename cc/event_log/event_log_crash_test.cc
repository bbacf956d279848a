// Several processes at one log, and processes that are killed in the middle.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "cc/event_log/event_log.h"

namespace stepwell::event_log {
namespace {

// One acknowledged event, small enough for a pipe to take it whole.
struct Ack {
  int32_t lane;
  int32_t number;
  int64_t offset;
};

std::string IdOf(int lane, int number) {
  return std::to_string(lane) + "-" + std::to_string(number);
}

// Appends pairs and tells of each event that was acknowledged, until it is killed or
// done. Posted events go between them.
void Produce(EventLog& log, int lane, int num_events, int pipe) {
  for (int number = 0; number < num_events; number += 2) {
    const std::string first = IdOf(lane, number);
    const std::string second = IdOf(lane, number + 1);
    if (!log.Post({"posted-" + first, "p"}).ok()) std::_Exit(3);
    const auto receipt = log.Append({{first, first}, {second, second}});
    if (!receipt.ok()) std::_Exit(4);
    for (int i = 0; i < 2; ++i) {
      const Ack ack{lane, number + i, receipt->offsets[i]};
      if (write(pipe, &ack, sizeof(ack)) != sizeof(ack)) std::_Exit(5);
    }
  }
}

// A process with two threads that append to the log in a folder.
class Producer {
 public:
  Producer(const std::string& folder, int first_lane, int num_events) {
    int ends[2];
    if (pipe(ends) != 0) std::abort();
    child_ = fork();
    if (child_ == 0) {
      close(ends[0]);
      const auto log = EventLog::Open(folder, {.linger_us = 100});
      if (!log.ok()) std::_Exit(2);
      std::thread other([&] { Produce(**log, first_lane + 1, num_events, ends[1]); });
      Produce(**log, first_lane, num_events, ends[1]);
      other.join();
      (*log)->Close();
      std::_Exit(0);
    }
    close(ends[1]);
    pipe_ = ends[0];
  }

  ~Producer() { close(pipe_); }

  // At most so many; fewer when the process has ended.
  std::vector<Ack> Acks(size_t max_acks) const {
    std::vector<Ack> acks;
    Ack ack{};
    while (acks.size() < max_acks && read(pipe_, &ack, sizeof(ack)) == sizeof(ack)) {
      acks.push_back(ack);
    }
    return acks;
  }

  void Kill() const { kill(child_, SIGKILL); }

  int Wait() const {
    int status = 0;
    waitpid(child_, &status, 0);
    return status;
  }

 private:
  pid_t child_;
  int pipe_;
};

class EventLogCrashTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "/event_log_crash_test_" +
              testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(folder_);
  }

  // Every acknowledged event is there, at its place, and no event is there twice.
  void ExpectAllThereOnce(const std::vector<Ack>& acks) {
    const auto log = *EventLog::Open(folder_);
    const auto events = *log->Read(0, kMaxReadEvents);
    std::map<std::string, int64_t> places;
    for (size_t i = 0; i < events.size(); ++i) {
      EXPECT_EQ(events[i].offset, static_cast<int64_t>(i));
      EXPECT_TRUE(places.emplace(events[i].id, events[i].offset).second);
    }
    for (const Ack& ack : acks) {
      const auto place = places.find(IdOf(ack.lane, ack.number));
      ASSERT_NE(place, places.end()) << IdOf(ack.lane, ack.number);
      EXPECT_EQ(place->second, ack.offset);
    }
  }

  std::string folder_;
};

TEST_F(EventLogCrashTest, AcknowledgedEventsOutliveSigkillAtAnyMoment) {
  std::vector<Ack> acks;
  for (int round = 0; round < 6; ++round) {
    // Lanes come twice: a producer sends again what it never saw acknowledged.
    const Producer producer(folder_, round / 2 * 2, 1'000'000);
    const auto before = producer.Acks(37 * (round + 1));
    producer.Kill();
    const auto after = producer.Acks(SIZE_MAX);
    producer.Wait();
    ASSERT_FALSE(before.empty());
    acks.insert(acks.end(), before.begin(), before.end());
    acks.insert(acks.end(), after.begin(), after.end());
    ExpectAllThereOnce(acks);
  }
}

TEST_F(EventLogCrashTest, TwoProcessesAppendToOneFolder) {
  const Producer one(folder_, 0, 150);
  const Producer other(folder_, 2, 150);
  std::vector<Ack> acks = one.Acks(SIZE_MAX);
  const std::vector<Ack> others = other.Acks(SIZE_MAX);
  acks.insert(acks.end(), others.begin(), others.end());
  EXPECT_EQ(one.Wait(), 0);
  EXPECT_EQ(other.Wait(), 0);
  EXPECT_EQ(acks.size(), 4 * 150);
  ExpectAllThereOnce(acks);
}

TEST_F(EventLogCrashTest, AProcessGoesOnWhenAnotherIsKilledInTheMiddle) {
  const Producer killed(folder_, 0, 1'000'000);
  const Producer other(folder_, 2, 150);
  std::vector<Ack> acks = killed.Acks(100);
  killed.Kill();
  killed.Wait();
  const std::vector<Ack> others = other.Acks(SIZE_MAX);
  EXPECT_EQ(other.Wait(), 0);
  EXPECT_EQ(others.size(), 2 * 150);
  acks.insert(acks.end(), others.begin(), others.end());
  ExpectAllThereOnce(acks);
}

TEST_F(EventLogCrashTest, AForkedProcessMayOpenWhatItsParentHasOpen) {
  const auto log = *EventLog::Open(folder_);
  const Producer child(folder_, 0, 10);
  EXPECT_EQ(child.Acks(SIZE_MAX).size(), 20);
  EXPECT_EQ(child.Wait(), 0);
  EXPECT_EQ(log->Append({{IdOf(0, 1), ""}})->num_stored, 0);
  EXPECT_GE(*log->EndOffset(), 20);
}

}  // namespace
}  // namespace stepwell::event_log
