#include "cc/kernels/candidates/decayed_columns.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "cc/kernels/simd/isa.h"

namespace stepwell::kernels {
namespace {

constexpr int64_t kNow = 1'500'000'000;
constexpr float kDay = 86'400.0f;

// A row as it is stored: numbers, then one time, all packed at an odd address.
struct Row {
  Row(const std::vector<float>& values, int64_t time)
      : time_offset(static_cast<int64_t>(values.size()) * 4),
        bytes(static_cast<size_t>(time_offset + 9), '\0') {
    std::memcpy(bytes.data() + 1, values.data(), values.size() * 4);
    std::memcpy(bytes.data() + 1 + time_offset, &time, 8);
  }

  std::vector<float> Decayed(const std::vector<float>& half_lives, int64_t now) const {
    std::vector<DecayedColumn> columns;
    for (size_t i = 0; i < half_lives.size(); ++i) {
      columns.push_back({static_cast<int64_t>(i) * 4, time_offset, half_lives[i]});
    }
    const DecayedColumns decayed(columns, time_offset + 8);
    std::vector<float> out(half_lives.size() + 1, -1.0f);
    decayed.Write(bytes.data() + 1, now, out.data());
    EXPECT_EQ(out.back(), -1.0f) << "wrote beyond its columns";
    out.pop_back();
    return out;
  }

  int64_t time_offset;
  std::string bytes;
};

TEST(DecayedColumnsTest, HalvesEveryHalfLife) {
  const Row row({8.0f, 8.0f}, kNow - 2 * 86'400);
  const std::vector<float> got = row.Decayed({kDay, 2 * kDay}, kNow);
  EXPECT_FLOAT_EQ(got[0], 2.0f);
  EXPECT_FLOAT_EQ(got[1], 4.0f);
}

TEST(DecayedColumnsTest, AnEarlierQuestionLeavesTheNumberAsItIs) {
  const Row row({3.0f}, kNow);
  EXPECT_EQ(row.Decayed({kDay}, kNow - 50)[0], 3.0f);
}

TEST(DecayedColumnsTest, WhatNeverHappenedIsNothing) {
  const Row row({0.0f, 5.0f}, 0);
  const std::vector<float> got = row.Decayed({kDay, kDay}, kNow);
  EXPECT_EQ(got[0], 0.0f);
  EXPECT_LT(got[1], 1e-30f);
  EXPECT_GE(got[1], 0.0f);
}

TEST(DecayedColumnsTest, IsThePowerOfTwoForEveryAgeAndNumberOfColumns) {
  const std::vector<float> half_lives = {3'600.0f,  kDay,     7 * kDay, 30 * kDay,
                                         90 * kDay, 5'000.0f, 1e6f,     12'345.0f,
                                         400.0f,    2 * kDay, 1.0f};
  for (int64_t age : {0, 1, 7, 1'799, 1'800, 3'600, 86'399, 604'800, 8'000'000}) {
    const Row row(std::vector<float>(half_lives.size(), 1.5f), kNow - age);
    const std::vector<float> got = row.Decayed(half_lives, kNow);
    for (size_t i = 0; i < half_lives.size(); ++i) {
      const double want = 1.5 * std::exp2(-static_cast<double>(age) / half_lives[i]);
      EXPECT_NEAR(got[i], want, 5e-6 * want + 1e-30)
          << "age " << age << " column " << i;
    }
  }
}

TEST(DecayedColumnsTest, RowsOfAnArrayAreWrittenAStrideApart) {
  constexpr int64_t kRows = 70, kRowBytes = 24, kStride = 5;
  std::string bytes(static_cast<size_t>(kRows * kRowBytes), '\0');
  for (int64_t row = 0; row < kRows; ++row) {
    const float values[2] = {static_cast<float>(row), 2.0f};
    const int64_t times[2] = {kNow - row * 3'600, kNow};
    std::memcpy(bytes.data() + row * kRowBytes, values, 8);
    std::memcpy(bytes.data() + row * kRowBytes + 8, times, 16);
  }
  const DecayedColumns columns({{0, 8, kDay}, {4, 16, kDay}, {4, 8, 3'600.0f}},
                               kRowBytes);
  std::vector<int64_t> places;
  for (int64_t i = 0; i < kRows; ++i) places.push_back(kRows - 1 - i);
  for (Isa isa : UsableIsas()) {
    std::vector<float> out(kRows * kStride, -1.0f);
    columns.WriteRows(bytes.data(), places.data(), kRows, kNow, out.data(), kStride,
                      isa);
    for (int64_t i = 0; i < kRows; ++i) {
      const auto row = static_cast<double>(places[static_cast<size_t>(i)]);
      const float* got = out.data() + i * kStride;
      EXPECT_NEAR(got[0], row * std::exp2(-row / 24.0), 1e-5 * row);
      EXPECT_EQ(got[1], 2.0f);
      EXPECT_NEAR(got[2], 2.0 * std::exp2(-row), 1e-5);
      EXPECT_EQ(got[3], -1.0f) << "wrote between its columns";
    }
  }
}

TEST(DecayedColumnsTest, NoColumnsNeedNoRow) {
  DecayedColumns().Write(nullptr, kNow, nullptr);
  EXPECT_EQ(DecayedColumns().size(), 0);
}

}  // namespace
}  // namespace stepwell::kernels
