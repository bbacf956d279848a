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

TEST(IdBitmapTest, VisitsSetBitsInOrder) {
  IdBitmap bitmap(300);
  for (int64_t id : {299, 5, 64, 128}) bitmap.Set(id);
  std::vector<int64_t> seen;
  bitmap.ForEachSet([&](int64_t id) { seen.push_back(id); });
  EXPECT_EQ(seen, (std::vector<int64_t>{5, 64, 128, 299}));
}

}  // namespace
}  // namespace stepwell::index
