#include "cc/index/id_bitmap.h"

#include "gtest/gtest.h"

namespace stepwell::index {
namespace {

TEST(IdBitmapTest, FlagsBecomeBits) {
  std::vector<uint8_t> flags(130, 0);
  for (int id : {0, 63, 64, 129}) flags[id] = 2;
  const IdBitmap bitmap = IdBitmap::FromFlags(flags);
  EXPECT_EQ(bitmap.CountSet(), 4);
  for (int64_t id = 0; id < 130; ++id) EXPECT_EQ(bitmap.Test(id), flags[id] != 0);
}

TEST(IdBitmapTest, IdsOutsideAreNotInTheSet) {
  IdBitmap bitmap(10);
  bitmap.Set(9);
  EXPECT_TRUE(bitmap.Test(9));
  EXPECT_FALSE(bitmap.Test(-1));
  EXPECT_FALSE(bitmap.Test(10));
  EXPECT_FALSE(IdBitmap().Test(0));
}

TEST(IdBitmapTest, GrowingKeepsBitsAndAddsClearOnes) {
  IdBitmap bitmap(3);
  bitmap.Set(2);
  bitmap.Resize(200);
  EXPECT_TRUE(bitmap.Test(2));
  EXPECT_EQ(bitmap.CountSet(), 1);
  bitmap.Clear(2);
  EXPECT_EQ(bitmap.CountSet(), 0);
}

IdBitmap SetOf(int64_t num_bits, std::initializer_list<int64_t> ids) {
  IdBitmap bitmap(num_bits);
  for (int64_t id : ids) bitmap.Set(id);
  return bitmap;
}

std::vector<int64_t> IdsOf(const IdBitmap& bitmap) {
  std::vector<int64_t> ids;
  bitmap.ForEachSet([&](int64_t id) { ids.push_back(id); });
  return ids;
}

TEST(IdBitmapTest, SetAlgebraTakesTheSizeOfTheLeftSide) {
  const IdBitmap shorter = SetOf(70, {1, 2, 69}), longer = SetOf(300, {2, 69, 75, 299});
  const auto changed = [](IdBitmap left, const IdBitmap& right, auto change) {
    (left.*change)(right);
    EXPECT_EQ(left.CountSet(), static_cast<int64_t>(IdsOf(left).size()));
    return IdsOf(left);
  };
  using Ids = std::vector<int64_t>;
  EXPECT_EQ(changed(shorter, longer, &IdBitmap::And), (Ids{2, 69}));
  EXPECT_EQ(changed(longer, shorter, &IdBitmap::And), (Ids{2, 69}));
  EXPECT_EQ(changed(shorter, longer, &IdBitmap::Or), (Ids{1, 2, 69}));
  EXPECT_EQ(changed(longer, shorter, &IdBitmap::Or), (Ids{1, 2, 69, 75, 299}));
  EXPECT_EQ(changed(shorter, longer, &IdBitmap::AndNot), (Ids{1}));
  EXPECT_EQ(changed(longer, shorter, &IdBitmap::AndNot), (Ids{75, 299}));
}

TEST(IdBitmapTest, TestingWithoutABranchAgreesWithTesting) {
  const IdBitmap bitmap = SetOf(70, {0, 5, 63, 64, 69});
  for (int64_t id : {-1, 0, 1, 5, 63, 64, 68, 69, 70, 71, 127, 128, 1'000'000}) {
    EXPECT_EQ(bitmap.TestUnpredicted(id), bitmap.Test(id)) << id;
  }
}

TEST(IdBitmapTest, InvertingLeavesNothingPastTheEnd) {
  IdBitmap bitmap = SetOf(67, {0, 66});
  bitmap.Invert();
  EXPECT_EQ(bitmap.CountSet(), 65);
  bitmap.Resize(200);
  EXPECT_FALSE(bitmap.Test(66) || bitmap.Test(67) || bitmap.Test(127));
  IdBitmap empty;
  empty.Invert();
  EXPECT_EQ(empty.CountSet(), 0);
}

TEST(IdBitmapTest, AKeptCountIsForgottenWithEachChange) {
  IdBitmap bitmap = SetOf(100, {1, 2, 3});
  const auto count_again = [&] {
    const int64_t count = bitmap.CountSet();
    bitmap.KeepCount();
    return count;
  };
  EXPECT_EQ(count_again(), 3);
  bitmap.Set(50);
  EXPECT_EQ(count_again(), 4);
  bitmap.Clear(1);
  EXPECT_EQ(count_again(), 3);
  bitmap.Or(SetOf(100, {60, 61}));
  EXPECT_EQ(count_again(), 5);
  bitmap.And(SetOf(100, {60, 61, 3}));
  EXPECT_EQ(count_again(), 3);
  bitmap.AndNot(SetOf(100, {60}));
  EXPECT_EQ(count_again(), 2);
  bitmap.Invert();
  EXPECT_EQ(count_again(), 98);
  bitmap.Resize(2);
  EXPECT_EQ(count_again(), 2);
}

TEST(IdBitmapTest, VisitsSetBitsInOrder) {
  IdBitmap bitmap(300);
  for (int64_t id : {299, 5, 64, 128}) bitmap.Set(id);
  std::vector<int64_t> seen;
  bitmap.ForEachSet([&](int64_t id) { seen.push_back(id); });
  EXPECT_EQ(seen, (std::vector<int64_t>{5, 64, 128, 299}));
}

}  // namespace
}  // namespace stepwell::index
