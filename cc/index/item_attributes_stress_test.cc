// Compiles beside writers; also run under the thread sanitizer.
#include <atomic>
#include <thread>
#include <vector>

#include "cc/index/item_attributes.h"
#include "gtest/gtest.h"

namespace stepwell::index {
namespace {

PredicateToken Prices(double low, double high) {
  return {.kind = PredicateToken::Kind::kInRange,
          .column = "price",
          .low = low,
          .high = high};
}

PredicateToken Tag(uint32_t tag) {
  return {.kind = PredicateToken::Kind::kAnyOf, .column = "tag", .tags = {tag}};
}

TEST(ItemAttributesStressTest, ACompileBesideSetsSeesEachOfThemWhole) {
  constexpr int64_t kItems = 5'000;
  ItemAttributes attributes(kItems);
  const std::vector<double> low(kItems, 1.0), high(kItems, 2.0);
  ASSERT_TRUE(attributes.AddRange("price", low).ok());
  std::vector<int64_t> ids(kItems);
  for (int64_t i = 0; i < kItems; ++i) ids[i] = i;
  std::atomic<bool> stop = false;
  std::thread writer([&] {
    for (int round = 0; round < 60; ++round) {
      EXPECT_TRUE(attributes.SetRange("price", ids, round % 2 ? low : high).ok());
    }
    stop = true;
  });
  while (!stop) {
    const int64_t count = attributes.Compile({Prices(2, 3)})->CountSet();
    EXPECT_TRUE(count == 0 || count == kItems) << count;
    const std::vector<PredicateToken> both = {
        Prices(2, 3), Prices(1, 1), {.kind = PredicateToken::Kind::kOr}};
    EXPECT_EQ(attributes.Compile(both)->CountSet(), kItems);
  }
  writer.join();
}

TEST(ItemAttributesStressTest, AnItemAlwaysHasOneTagWhileItsTagChanges) {
  constexpr int64_t kItems = 2'000;
  ItemAttributes attributes(kItems);
  std::vector<int64_t> ids(kItems), offsets(kItems + 1);
  for (int64_t i = 0; i <= kItems; ++i) offsets[i] = i;
  for (int64_t i = 0; i < kItems; ++i) ids[i] = i;
  std::vector<uint32_t> tags(kItems, 0);
  ASSERT_TRUE(attributes.AddTags("tag", {offsets, tags}).ok());
  std::atomic<bool> stop = false;
  std::thread writer([&] {
    for (uint32_t round = 0; round < 60; ++round) {
      for (int64_t i = 0; i < kItems; ++i) tags[i] = (round + i) % 3;
      EXPECT_TRUE(attributes.SetTags("tag", ids, {offsets, tags}).ok());
      EXPECT_TRUE(attributes.Grow(kItems).ok());
    }
    stop = true;
  });
  const PredicateToken either{.kind = PredicateToken::Kind::kOr};
  const std::vector<PredicateToken> any = {Tag(0), Tag(1), either, Tag(2), either};
  while (!stop) EXPECT_EQ(attributes.Compile(any)->CountSet(), kItems);
  writer.join();
}

}  // namespace
}  // namespace stepwell::index
