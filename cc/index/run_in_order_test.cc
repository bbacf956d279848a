#include "cc/index/run_in_order.h"

#include <atomic>
#include <stdexcept>
#include <vector>

#include "gtest/gtest.h"

namespace stepwell::index {
namespace {

bool Always(int64_t) { return true; }

TEST(RunInOrderTest, EachPieceIsDoneOnceByAThreadOfItsOwnNumber) {
  std::vector<std::atomic<int>> times(1'000);
  std::atomic<bool> known_threads{true};
  const auto work = [&](int64_t i, int thread) {
    ++times[i];
    if (thread < 0 || thread >= 4) known_threads = false;
  };
  EXPECT_TRUE(RunInOrder(1'000, 4, work, Always));
  EXPECT_TRUE(known_threads);
  for (const std::atomic<int>& count : times) EXPECT_EQ(count, 1);
}

TEST(RunInOrderTest, OneThreadGoesFromFirstToLast) {
  std::vector<int64_t> order;
  RunInOrder(5, 1, [&](int64_t i, int) { order.push_back(i); }, Always);
  EXPECT_EQ(order, (std::vector<int64_t>{0, 1, 2, 3, 4}));
}

TEST(RunInOrderTest, NothingToDoIsDone) {
  EXPECT_TRUE(RunInOrder(0, 4, [](int64_t, int) { FAIL(); }, Always));
}

TEST(RunInOrderTest, TheFirstExceptionStopsTheRestAndIsThrown) {
  std::atomic<int64_t> done{0};
  const auto work = [&](int64_t i, int) {
    if (i == 10) throw std::runtime_error("ten");
    ++done;
  };
  EXPECT_THROW(RunInOrder(1'000'000, 2, work, Always), std::runtime_error);
  EXPECT_LT(done, 1'000'000);
}

TEST(RunInOrderTest, AskedToStopItStartsNoMore) {
  int64_t done = 0;
  const auto until_three = [](int64_t done_so_far) { return done_so_far < 3; };
  EXPECT_FALSE(RunInOrder(10, 1, [&](int64_t, int) { ++done; }, until_three));
  EXPECT_EQ(done, 3);
}

}  // namespace
}  // namespace stepwell::index
