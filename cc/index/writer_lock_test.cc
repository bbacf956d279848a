#include "cc/index/writer_lock.h"

#include <atomic>
#include <mutex>
#include <shared_mutex>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace stepwell::index {
namespace {

// Sharers that never leave a gap: each takes its next turn before the other gives up
// its own. With a lock that prefers sharers this test does not end.
TEST(WriterLockTest, AThreadThatWantsToBeAloneGetsThereBesideAStreamOfSharers) {
  WriterLock lock;
  std::atomic<bool> done{false};
  std::atomic<int> inside{0};
  std::vector<std::thread> sharers;
  for (int i = 0; i < 3; ++i) {
    sharers.emplace_back([&] {
      while (!done) {
        std::shared_lock shared(lock);
        ++inside;
        for (int turns = 0; inside < 2 && turns < 1'000; ++turns) {
          std::this_thread::yield();
        }
        --inside;
      }
    });
  }
  for (int i = 0; i < 20; ++i) {
    std::unique_lock alone(lock);
    EXPECT_EQ(inside, 0);
  }
  done = true;
  for (std::thread& sharer : sharers) sharer.join();
}

TEST(WriterLockTest, SharersAreInsideTogether) {
  WriterLock lock;
  std::shared_lock first(lock);
  std::thread second([&] { std::shared_lock shared(lock); });
  second.join();
}

}  // namespace
}  // namespace stepwell::index
