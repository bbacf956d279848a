#include "cc/event_log/event_log.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "cc/base/field_error.h"

namespace stepwell::event_log {
namespace {

constexpr int64_t kForEver = std::numeric_limits<int64_t>::max();

class EventLogTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "/event_log_test_" +
              testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(folder_);
  }

  std::unique_ptr<EventLog> Opened(const EventLogOptions& options = {}) {
    auto log = EventLog::Open(folder_, options);
    EXPECT_TRUE(log.ok()) << log.status();
    return *std::move(log);
  }

  std::string folder_;
};

Batch BatchOf(const std::vector<std::string>& ids) {
  Batch batch;
  for (const std::string& id : ids) batch.push_back({id, "payload of " + id});
  return batch;
}

std::vector<std::string> IdsOf(const std::vector<StoredEvent>& events) {
  std::vector<std::string> ids;
  for (const StoredEvent& event : events) ids.push_back(event.id);
  return ids;
}

using Ids = std::vector<std::string>;
using Offsets = std::vector<int64_t>;

TEST_F(EventLogTest, OffsetsStartAtZeroAndGrowByOne) {
  const auto log = Opened();
  EXPECT_EQ(*log->EndOffset(), 0);
  EXPECT_EQ(log->Append(BatchOf({"a", "b"}))->offsets, (Offsets{0, 1}));
  EXPECT_EQ(log->Append(BatchOf({"c"}))->offsets, (Offsets{2}));
  EXPECT_EQ(*log->EndOffset(), 3);
  const auto events = *log->Read(1, 10);
  EXPECT_EQ(IdsOf(events), (Ids{"b", "c"}));
  EXPECT_EQ(events[0].offset, 1);
  EXPECT_EQ(events[0].payload, "payload of b");
  EXPECT_EQ(IdsOf(*log->Read(0, 2)), (Ids{"a", "b"}));
  EXPECT_TRUE(log->Read(3, 10)->empty());
}

TEST_F(EventLogTest, ARepeatedEventIsStoredOnceAndKeepsItsPlaceAndPayload) {
  const auto log = Opened();
  ASSERT_TRUE(log->Append(BatchOf({"a", "b"})).ok());
  const auto receipt = *log->Append({{"c", "1"}, {"a", "2"}, {"c", "3"}, {"d", "4"}});
  EXPECT_EQ(receipt.offsets, (Offsets{2, 0, 2, 3}));
  EXPECT_EQ(receipt.num_stored, 2);
  const auto events = *log->Read(0, 10);
  EXPECT_EQ(IdsOf(events), (Ids{"a", "b", "c", "d"}));
  EXPECT_EQ(events[0].payload, "payload of a");
  EXPECT_EQ(events[2].payload, "1");
  EXPECT_EQ(log->Append(BatchOf({"a", "b"}))->offsets, (Offsets{0, 1}));
}

TEST_F(EventLogTest, AWaitEndsWithAnAppendAPostAndTheTime) {
  const auto log = Opened();
  EXPECT_FALSE(*log->Wait(0, 0));
  EXPECT_FALSE(*log->Wait(0, -1));
  EXPECT_FALSE(*log->Wait(0, 1'000));
  std::thread appending([&] { EXPECT_TRUE(log->Append(BatchOf({"a"})).ok()); });
  EXPECT_TRUE(*log->Wait(0, kForEver));
  appending.join();
  EXPECT_TRUE(*log->Wait(0, 0));
  std::thread posting([&] { EXPECT_TRUE(*log->Post({"b", "x"})); });
  EXPECT_TRUE(*log->Wait(1, kForEver));
  posting.join();
  EXPECT_EQ(log->Wait(-1, 0).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(EventLogTest, AWaitEndsWithAnAppendOfAnotherProcess) {
  const auto log = Opened();
  const pid_t child = fork();
  if (child == 0) {
    const auto own = EventLog::Open(folder_);
    _exit(own.ok() && (*own)->Append(BatchOf({"a"})).ok() ? 0 : 1);
  }
  EXPECT_TRUE(*log->Wait(0, kForEver));
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST_F(EventLogTest, AWaitEndsWhenTheLogIsClosed) {
  const auto log = Opened();
  std::thread closing([&] { log->Close(); });
  EXPECT_EQ(log->Wait(0, kForEver).status().code(),
            absl::StatusCode::kFailedPrecondition);
  closing.join();
}

TEST_F(EventLogTest, EverythingIsThereWhenItIsOpenedAgain) {
  {
    const auto log = Opened();
    ASSERT_TRUE(log->Append(BatchOf({"a", "b"})).ok());
    ASSERT_TRUE(log->CommitOffset("updater", 1).ok());
  }
  const auto log = Opened();
  EXPECT_EQ(log->Append(BatchOf({"b", "c"}))->offsets, (Offsets{1, 2}));
  EXPECT_EQ(*log->CommittedOffset("updater"), 1);
  EXPECT_EQ(*log->CommittedOffset("another"), 0);
}

TEST_F(EventLogTest, SubmittedBatchesAreWaitedForByTheirTickets) {
  const auto log = Opened();
  const int64_t first = *log->Submit(BatchOf({"a"}));
  const int64_t second = *log->Submit(BatchOf({"a", "b"}));
  std::vector<Done> dones;
  while (dones.size() < 2) {
    for (Done& done : log->WaitDone(kForEver)) dones.push_back(std::move(done));
  }
  EXPECT_EQ(dones[0].ticket, first);
  EXPECT_EQ(dones[1].ticket, second);
  EXPECT_EQ(dones[1].receipt->offsets, (Offsets{0, 1}));
  EXPECT_EQ(dones[1].receipt->num_stored, 1);
}

TEST_F(EventLogTest, PostedEventsAreStoredWithTheNextBatch) {
  const auto log = Opened({.linger_us = 3'600'000'000});
  for (const char* id : {"p", "q", "p"}) ASSERT_TRUE(*log->Post({id, "posted"}));
  ASSERT_TRUE(log->Append(BatchOf({"a"})).ok());
  EXPECT_EQ(IdsOf(*log->Read(0, 10)), (Ids{"p", "q", "a"}));
  EXPECT_EQ(log->post_counts().num_stored, 2);
  EXPECT_EQ(log->post_counts().num_duplicates, 1);
  EXPECT_EQ(log->last_loss(), "");
}

TEST_F(EventLogTest, AReaderPassesByWhatBeginsWithAPrefix) {
  const auto log = Opened();
  ASSERT_TRUE(log->Append(BatchOf({"i/1", "a", "i/2", "i", "b", "i/3"})).ok());
  SomeEvents some = *log->ReadExcept("i/", 0, 4);
  EXPECT_EQ(IdsOf(some.events), (Ids{"a", "i"}));
  EXPECT_EQ(some.next_offset, 4);
  some = *log->ReadExcept("i/", some.next_offset, 100);
  EXPECT_EQ(IdsOf(some.events), (Ids{"b"}));
  EXPECT_EQ(some.next_offset, 6);
  some = *log->ReadExcept("i/", 6, 100);
  EXPECT_TRUE(some.events.empty());
  EXPECT_EQ(some.next_offset, 6);
}

TEST_F(EventLogTest, TrimForgetsOldEventsAndOffsetsGoOn) {
  const auto log = Opened();
  ASSERT_TRUE(log->Append(BatchOf({"a", "b", "c", "d", "e"})).ok());
  EXPECT_EQ(*log->Trim(3), 3);
  EXPECT_EQ(*log->Trim(3), 0);
  EXPECT_EQ(IdsOf(*log->Read(0, 10)), (Ids{"d", "e"}));
  EXPECT_EQ(log->Append(BatchOf({"a", "d"}))->offsets, (Offsets{5, 3}));
  EXPECT_EQ(*log->Trim(6), 3);
  EXPECT_EQ(log->Append(BatchOf({"f"}))->offsets, (Offsets{6}));
  const SomeEvents some = *log->ReadExcept("z", 0, 10);
  EXPECT_EQ(some.next_offset, 7);
}

TEST_F(EventLogTest, TrimsMoreThanOneCommitTakes) {
  const auto log = Opened({.max_pending_events = 100'000});
  constexpr int64_t kNumEvents = EventStore::kTrimmedTogether + 500;
  for (int64_t i = 0; i < kNumEvents; i += 500) {
    Ids ids;
    for (int64_t k = i; k < i + 500; ++k) ids.push_back(std::to_string(k));
    ASSERT_TRUE(log->Submit(BatchOf(ids)).ok());
  }
  ASSERT_TRUE(log->Append(BatchOf({"last"})).ok());
  const int64_t full_bytes = *log->SizeBytes();
  EXPECT_EQ(*log->Trim(kNumEvents), kNumEvents);
  EXPECT_EQ(IdsOf(*log->Read(0, 10)), (Ids{"last"}));
  EXPECT_LT(*log->SizeBytes(), full_bytes / 10);
}

TEST_F(EventLogTest, AFullMapAcknowledgesNothingOfTheGroupAndRecovers) {
  const auto log = Opened({.map_size_bytes = 512 << 10});
  ASSERT_TRUE(log->Append(BatchOf({"a"})).ok());
  Batch large;
  for (int i = 0; i < 20; ++i) {
    large.push_back({"large" + std::to_string(i), std::string(60'000, 'x')});
  }
  const absl::Status status = log->Append(large).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_NE(status.message().find(folder_ + " is full"), absl::string_view::npos);
  EXPECT_EQ(log->Append(BatchOf({"b"}))->offsets, (Offsets{1}));
  EXPECT_EQ(IdsOf(*log->Read(0, 10)), (Ids{"a", "b"}));
}

TEST_F(EventLogTest, APostedEventThatIsLostIsCountedAndTold) {
  const auto log = Opened({.map_size_bytes = 512 << 10, .linger_us = 0});
  ASSERT_TRUE(*log->Post({"large", std::string(1 << 20, 'x')}));
  log->Close();
  EXPECT_EQ(log->post_counts().num_lost, 1);
  EXPECT_NE(log->last_loss().find("is full"), std::string::npos);
}

TEST_F(EventLogTest, AFolderIsOpenOnceInAProcessByWhateverName) {
  auto log = Opened();
  const std::string link = folder_ + "_link";
  std::filesystem::remove(link);
  std::filesystem::create_directory_symlink(folder_, link);
  for (const std::string& path : {folder_, folder_ + "/", link}) {
    const absl::Status status = EventLog::Open(path).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << path;
    EXPECT_NE(status.message().find(path), absl::string_view::npos);
  }
  log->Close();
  EXPECT_TRUE(EventLog::Open(link).ok());
}

TEST_F(EventLogTest, TheFolderIsMadeForItsOwnerAlone) {
  folder_ += "/deep/er";
  Opened();
  struct stat status{};
  ASSERT_EQ(stat(folder_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0700);
  ASSERT_EQ(stat((folder_ + "/data.mdb").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600);
}

TEST_F(EventLogTest, AFolderThatCannotBeOneIsUnavailableAndAFileThatIsNoneDataLoss) {
  for (const std::string& path :
       {std::string(), std::string("/dev/null"), std::string("/dev/null/events"),
        std::string("/proc/events")}) {
    const absl::Status status = EventLog::Open(path).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << path << status;
  }
  std::filesystem::create_directories(folder_);
  std::filesystem::resize_file(
      (std::ofstream(folder_ + "/data.mdb") << "x", folder_ + "/data.mdb"), 8192);
  EXPECT_EQ(EventLog::Open(folder_).status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(EventLogTest, ClosedItHasStoredWhatWasQueuedAndAnswersNothing) {
  auto log = Opened({.linger_us = 3'600'000'000});
  ASSERT_TRUE(*log->Post({"p", ""}));
  ASSERT_TRUE(log->Submit(BatchOf({"a"})).ok());
  log->Close();
  log->Close();
  EXPECT_EQ(log->WaitDone(kForEver).size(), 1);
  EXPECT_TRUE(log->WaitDone(kForEver).empty());
  EXPECT_FALSE(*log->Post({"q", ""}));
  for (const absl::Status& status :
       {log->Append(BatchOf({"b"})).status(), log->Submit(BatchOf({"b"})).status(),
        log->Read(0, 1).status(), log->EndOffset().status(), log->Trim(1).status(),
        log->CommittedOffset("c").status(), log->CommitOffset("c", 1),
        log->SizeBytes().status(), log->ReadExcept("p", 0, 1).status()}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  }
  EXPECT_EQ(IdsOf(*Opened()->Read(0, 10)), (Ids{"p", "a"}));
}

TEST_F(EventLogTest, WhatIsOutOfRangeIsRefusedAndNothingIsStored) {
  const auto log = Opened();
  const std::string long_id(kMaxIdBytes + 1, 'x');
  const std::string large(kMaxPayloadBytes + 1, 'x');
  const std::string long_name(kMaxConsumerBytes + 1, 'x');
  const std::vector<std::pair<absl::Status, std::string>> refused = {
      {log->Append({}).status(), "number of events"},
      {log->Append(Batch(kMaxBatchEvents + 1, {"a", ""})).status(), "number of events"},
      {log->Append({{"a", ""}, {"", ""}}).status(), "size of event_id"},
      {log->Submit({{"a", ""}, {long_id, ""}}).status(), "size of event_id"},
      {log->Append({{"a", large}}).status(), "size of payload"},
      {log->Post({"", ""}).status(), "size of event_id"},
      {log->Post({"a", large}).status(), "size of payload"},
      {log->Read(-1, 1).status(), "from_offset"},
      {log->Read(0, 0).status(), "limit"},
      {log->Read(0, kMaxReadEvents + 1).status(), "limit"},
      {log->ReadExcept("", 0, 1).status(), "size of prefix"},
      {log->ReadExcept("p", -1, 1).status(), "from_offset"},
      {log->CommitOffset("", 1), "size of consumer"},
      {log->CommitOffset(long_name, 1), "size of consumer"},
      {log->CommitOffset("c", -1), "offset"},
      {log->CommittedOffset(long_name).status(), "size of consumer"},
      {log->Trim(-1).status(), "before_offset"},
  };
  for (const auto& [status, field] : refused) {
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << field;
    EXPECT_EQ(FieldOf(status), field) << status;
  }
  EXPECT_EQ(*log->EndOffset(), 0);
  EXPECT_TRUE(
      log->Append({{std::string(kMaxIdBytes, 'x'), std::string(kMaxPayloadBytes, 'y')}})
          .ok());
  EXPECT_EQ(log->Read(0, 1)->at(0).payload.size(), kMaxPayloadBytes);
}

TEST_F(EventLogTest, AnOptionOutOfRangeIsNamedAndNoFolderIsMade) {
  const std::vector<std::pair<EventLogOptions, std::string>> refused = {
      {{.map_size_bytes = 0}, "map_size_bytes"},
      {{.max_pending_events = 0}, "max_pending_events"},
      {{.max_pending_bytes = 0}, "max_pending_bytes"},
      {{.max_group_events = 0}, "max_group_events"},
      {{.linger_us = -1}, "linger_us"},
  };
  for (const auto& [options, field] : refused) {
    EXPECT_EQ(FieldOf(EventLog::Open(folder_, options).status()), field);
  }
  EXPECT_FALSE(std::filesystem::exists(folder_));
}

}  // namespace
}  // namespace stepwell::event_log
