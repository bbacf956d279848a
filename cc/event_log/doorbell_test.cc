#include "cc/event_log/doorbell.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <limits>
#include <string>
#include <thread>

#include "absl/status/status.h"

namespace stepwell::event_log {
namespace {

constexpr int64_t kForEver = std::numeric_limits<int64_t>::max();

class DoorbellTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = testing::TempDir() + "/doorbell_test_" +
            testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove(path_);
  }

  std::string path_;
};

TEST_F(DoorbellTest, ARingEndsAWaitThatHasBegun) {
  const auto bell = *Doorbell::Open(path_);
  const uint32_t seen = bell->num_rings();
  std::thread ringing([&] { bell->Ring(); });
  while (bell->num_rings() == seen) bell->WaitBeyond(seen, kForEver);
  ringing.join();
  EXPECT_EQ(bell->num_rings(), seen + 1);
}

TEST_F(DoorbellTest, ARingBeforeTheWaitIsNotMissed) {
  const auto bell = *Doorbell::Open(path_);
  const uint32_t seen = bell->num_rings();
  bell->Ring();
  bell->WaitBeyond(seen, kForEver);
}

TEST_F(DoorbellTest, AWaitEndsWithItsTime) {
  const auto bell = *Doorbell::Open(path_);
  bell->WaitBeyond(bell->num_rings(), 0);
  bell->WaitBeyond(bell->num_rings(), -1);
  bell->WaitBeyond(bell->num_rings(), 1'000);
}

TEST_F(DoorbellTest, AnotherProcessIsHeard) {
  const auto bell = *Doorbell::Open(path_);
  const uint32_t seen = bell->num_rings();
  const pid_t child = fork();
  if (child == 0) {
    (*Doorbell::Open(path_))->Ring();
    _exit(0);
  }
  while (bell->num_rings() == seen) bell->WaitBeyond(seen, kForEver);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST_F(DoorbellTest, TheFileIsTheOwnersAndHasItsRoomOnDisk) {
  const auto bell = *Doorbell::Open(path_);
  struct stat status{};
  ASSERT_EQ(stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600);
  EXPECT_GE(status.st_blocks * 512, 4096);
}

TEST_F(DoorbellTest, AFolderThatIsNotThereIsNamed) {
  const auto bell = Doorbell::Open(path_ + "/none/doorbell");
  EXPECT_EQ(bell.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(bell.status().message().find(path_), std::string::npos);
}

}  // namespace
}  // namespace stepwell::event_log
