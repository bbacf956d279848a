// One thread offers and abandons, others take, look and change the terms. Run again
// with a sanitiser of threads.
#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "cc/front/admission_queue.h"
#include "gtest/gtest.h"

namespace stepwell::front {
namespace {

constexpr int kNumCalls = 20'000;
constexpr int kNumTakers = 3;

std::shared_ptr<Call> MakeCall(int number) {
  return std::make_shared<Call>(
      CallFields{.method = number,
                 .message = {},
                 .priority = number % kNumPriorities,
                 .key_hash = static_cast<uint64_t>(number) * 0x9e3779b97f4a7c15,
                 .metadata = {}},
      nullptr);
}

TEST(AdmissionQueueStressTest, EveryCallIsTakenRefusedOrAbandonedOnce) {
  AdmissionQueue queue(64);
  queue.SetTerms({.budget_us = 600'000'000, .popular_mean_us = 0});
  std::vector<std::atomic<int>> num_ends(kNumCalls);
  std::vector<std::thread> takers;
  takers.reserve(kNumTakers);
  for (int i = 0; i < kNumTakers; ++i) {
    takers.emplace_back([&] {
      while (const auto call = queue.Take()) {
        ++num_ends[call->method()];
        queue.Left(call->priority(), queue.NumAhead(call->priority()) == 0);
      }
    });
  }
  std::thread onlooker([&] {
    for (int i = 0; i < 1'000; ++i) {
      queue.SetTerms({.budget_us = 600'000'000, .popular_mean_us = 0, .pace_us = 0});
      queue.SetMaxSize(32 + i % 64);
      EXPECT_GE(queue.OldestAgeUs(), 0);
      EXPECT_GE(queue.Lengths()[0], 0);
    }
  });
  for (int i = 0; i < kNumCalls; ++i) {
    const auto call = MakeCall(i);
    if (const auto refusal = queue.Offer(call)) ++num_ends[refusal->call->method()];
    if (i % 5 == 0 && queue.Abandon(*call)) ++num_ends[i];
  }
  onlooker.join();
  queue.Close();
  for (std::thread& taker : takers) taker.join();
  for (int i = 0; i < kNumCalls; ++i) EXPECT_EQ(num_ends[i], 1) << i;
}

}  // namespace
}  // namespace stepwell::front
