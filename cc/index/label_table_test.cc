#include "cc/index/label_table.h"

#include <atomic>
#include <random>
#include <thread>
#include <unordered_map>
#include <vector>

#include "gtest/gtest.h"

namespace stepwell::index {
namespace {

constexpr uint32_t kNone = LabelTable::kNoNode;

TEST(LabelTableTest, AnEmptyTableHoldsNothing) {
  ReaderGate gate;
  LabelTable table(gate);
  EXPECT_EQ(table.Find(0), kNone);
  EXPECT_EQ(table.Find(-1), kNone);
  EXPECT_EQ(table.Remove(0), kNone);
  EXPECT_EQ(table.Remove(-1), kNone);
  EXPECT_EQ(table.size(), 0);
}

TEST(LabelTableTest, AWriteReturnsTheNodeOfBefore) {
  ReaderGate gate;
  LabelTable table(gate);
  EXPECT_EQ(table.Put(7, 1), kNone);
  EXPECT_EQ(table.Put(7, 2), 1);
  EXPECT_EQ(table.Find(7), 2);
  EXPECT_EQ(table.Remove(7), 2);
  EXPECT_EQ(table.Remove(7), kNone);
  EXPECT_EQ(table.Find(7), kNone);
  EXPECT_EQ(table.Put(7, 3), kNone);
  EXPECT_EQ(table.size(), 1);
}

TEST(LabelTableTest, AnswersAsAnUnorderedMapAfterManyWrites) {
  ReaderGate gate;
  LabelTable table(gate);
  std::unordered_map<int64_t, uint32_t> expected;
  std::mt19937_64 random(3);
  for (uint32_t step = 0; step < 200'000; ++step) {
    // Small ids for many hits, huge ones for the whole range.
    const int64_t label =
        random() % 2 == 0 ? static_cast<int64_t>(random() % 20'000)
                          : static_cast<int64_t>(random() >> 1) % 1'000 * (1LL << 50);
    const auto known = expected.find(label);
    const uint32_t before = known == expected.end() ? kNone : known->second;
    if (random() % 3 == 0) {
      ASSERT_EQ(table.Remove(label), before);
      expected.erase(label);
    } else {
      ASSERT_EQ(table.Put(label, step), before);
      expected[label] = step;
    }
  }
  ASSERT_EQ(table.size(), static_cast<int64_t>(expected.size()));
  for (const auto& [label, node] : expected) ASSERT_EQ(table.Find(label), node);
}

TEST(LabelTableTest, ReservedRoomNeedsNoOtherTable) {
  ReaderGate gate;
  LabelTable table(gate);
  table.Reserve(10'000);
  const int64_t bytes = table.MemoryBytes();
  for (int64_t label = 0; label < 10'000; ++label) {
    table.Put(label, static_cast<uint32_t>(label));
  }
  EXPECT_EQ(table.MemoryBytes(), bytes);
  EXPECT_LT(bytes, 10'000 * 18);
}

TEST(LabelTableTest, MemoryStaysFlatWhenEveryIdIsNew) {
  ReaderGate gate;
  LabelTable table(gate);
  table.Reserve(1'000);
  const int64_t bytes = table.MemoryBytes();
  for (int64_t label = 0; label < 100'000; ++label) {
    table.Put(label, 0);
    if (label >= 1'000) table.Remove(label - 1'000);
    if (label % 100 == 0) gate.Synchronize();
  }
  EXPECT_EQ(table.size(), 1'000);
  // The table in use and the last one, not yet freed.
  EXPECT_LE(table.MemoryBytes(), 3 * bytes);
}

TEST(LabelTableTest, AFilesOrderAnswersAndTurnsIntoATableWithTheFirstWrite) {
  ReaderGate gate;
  LabelTable table(gate);
  const std::vector<int64_t> labels = {50, -1, 10, 30, 20};
  const std::vector<uint32_t> nodes_by_label = {2, 4, 3, 0};
  table.Adopt(labels, nodes_by_label);
  EXPECT_EQ(table.MemoryBytes(), 0);
  for (int written = 0; written < 2; ++written) {
    EXPECT_EQ(table.Find(10), 2);
    EXPECT_EQ(table.Find(20), 4);
    EXPECT_EQ(table.Find(30), 3);
    EXPECT_EQ(table.Find(50), 0);
    EXPECT_EQ(table.Find(25), kNone);
    EXPECT_EQ(table.Find(60), kNone);
    EXPECT_EQ(table.size(), 4);
    EXPECT_EQ(table.Remove(25), kNone);
  }
  EXPECT_GT(table.MemoryBytes(), 0);
}

// The writer moves every id to higher nodes, over many tables; ids 0 .. 99 are always
// there, the others come and go. Node n of label l is always l + a multiple of kStep.
TEST(LabelTableTest, ReadersSeeEachWriteAsDoneOrNotDone) {
  constexpr uint32_t kStep = 1 << 16;
  ReaderGate gate;
  LabelTable table(gate);
  std::atomic<bool> done{false};
  std::atomic<int64_t> num_wrong{0};
  for (uint32_t label = 0; label < 100; ++label) table.Put(label, label);
  std::vector<std::thread> readers;
  for (int seed = 0; seed < 3; ++seed) {
    readers.emplace_back([&, seed] {
      std::mt19937 random(seed);
      std::vector<uint32_t> last(100, 0);
      while (!done) {
        ReaderGate::Guard guard(gate);
        const uint32_t label = random() % 10'000;
        const uint32_t node = table.Find(label);
        if (node == kNone ? label < 100 : node % kStep != label) ++num_wrong;
        if (label >= 100) continue;
        if (node < last[label]) ++num_wrong;
        last[label] = node;
      }
    });
  }
  std::mt19937 random(9);
  for (uint32_t step = 1; step < 100'000; ++step) {
    const uint32_t label = random() % 10'000;
    const uint32_t node = label + step / 2 * kStep;
    if (label >= 100 && random() % 2 == 0) {
      table.Remove(label);
    } else {
      table.Put(label, node);
    }
    if (step % 1'000 == 0) gate.Synchronize();
  }
  done = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(num_wrong, 0);
}

}  // namespace
}  // namespace stepwell::index
