#include "cc/index/reader_gate.h"

#include <atomic>
#include <future>
#include <memory>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace stepwell::index {
namespace {

TEST(ReaderGateTest, WithoutReadersNobodyWaits) {
  ReaderGate gate;
  gate.Synchronize();
  gate.Synchronize();
}

TEST(ReaderGateTest, SynchronizeWaitsForAReaderThatStandsThere) {
  ReaderGate gate;
  std::atomic<bool> synchronized{false};
  auto guard = std::make_unique<ReaderGate::Guard>(gate);
  std::thread writer([&] {
    gate.Synchronize();
    synchronized = true;
  });
  // The writer has no way on while the guard is there, however long it tries.
  for (int look = 0; look < 1000; ++look) {
    std::this_thread::yield();
    ASSERT_FALSE(synchronized);
  }
  guard.reset();
  writer.join();
  EXPECT_TRUE(synchronized);
}

TEST(ReaderGateTest, SynchronizeEndsWhileReadersComeAndGo) {
  ReaderGate gate;
  std::atomic<bool> done{false};
  // Two threads whose guards overlap: there is a reader at every moment.
  std::promise<void> first_stands;
  std::thread first([&] {
    auto guard = std::make_unique<ReaderGate::Guard>(gate);
    first_stands.set_value();
    while (!done) {
      auto next = std::make_unique<ReaderGate::Guard>(gate);
      guard = std::move(next);
    }
  });
  first_stands.get_future().wait();
  for (int i = 0; i < 100; ++i) gate.Synchronize();
  done = true;
  first.join();
}

TEST(ReaderGateTest, ATicketPassesWithTheNextSynchronizeOnly) {
  ReaderGate gate;
  gate.Synchronize();
  const uint64_t ticket = gate.Ticket();
  EXPECT_FALSE(gate.Passed(ticket));
  gate.Synchronize();
  EXPECT_TRUE(gate.Passed(ticket));
  EXPECT_FALSE(gate.Passed(gate.Ticket()));
}

TEST(ReaderGateTest, ATicketDoesNotPassWithASynchronizeThatBeganBefore) {
  ReaderGate gate;
  auto guard = std::make_unique<ReaderGate::Guard>(gate);
  std::thread writer([&] { gate.Synchronize(); });
  while (gate.Ticket() == 0) std::this_thread::yield();
  const uint64_t ticket = gate.Ticket();
  guard.reset();
  writer.join();
  EXPECT_FALSE(gate.Passed(ticket));
}

// Freed memory is poisoned first: a reader that still stood there would see it, and a
// sanitiser would see it in any case.
TEST(ReaderGateTest, NoReaderSeesWhatWasFreed) {
  struct Value {
    explicit Value(int64_t n) : first(n), second(n) {}
    ~Value() { first = -1; }
    int64_t first, second;
  };
  ReaderGate gate;
  std::atomic<Value*> shared{new Value(0)};
  std::atomic<bool> done{false};
  std::atomic<int64_t> num_torn{0};
  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&] {
      int64_t last = 0;
      while (!done) {
        ReaderGate::Guard guard(gate);
        const Value* value = shared.load(std::memory_order_acquire);
        if (value->first != value->second || value->first < last) ++num_torn;
        last = value->first;
      }
    });
  }
  for (int64_t n = 1; n <= 2000; ++n) {
    std::unique_ptr<Value> old(
        shared.exchange(new Value(n), std::memory_order_acq_rel));
    gate.Synchronize();
  }
  done = true;
  for (std::thread& reader : readers) reader.join();
  delete shared.load();
  EXPECT_EQ(num_torn, 0);
}

}  // namespace
}  // namespace stepwell::index
