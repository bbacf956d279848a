#include "cc/feature_rows/row_verdict.h"

#include <cstring>
#include <limits>
#include <string>

#include "cc/feature_rows/history_body.h"
#include "gtest/gtest.h"

namespace stepwell::feature_rows {
namespace {

constexpr int64_t kNow = 1'500'000'000;
constexpr int64_t kLast = std::numeric_limits<int64_t>::max();
const StoredView kView = {.prefix = std::string("SWFR\1\0\0\0schema!!", 16),
                          .body_bytes = 4,
                          .ttl_seconds = 100,
                          .freshness_us = 60};

std::string RowOf(int64_t event_time, const std::string& body = "body") {
  std::string row = kView.prefix + std::string(16, '\0') + body;
  std::memcpy(row.data() + 16, &event_time, sizeof(event_time));
  return row;
}

RowState StateAt(const std::string& row, const Moment& moment) {
  return JudgeRow(kView, row, moment.wall_us, moment).state;
}

TEST(RowVerdictTest, AgesBeyondAllNumbersAreTheLargest) {
  EXPECT_EQ(StateAt(RowOf(1), {.event_time = kLast}), RowState::kExpired);
  EXPECT_EQ(StateAt(RowOf(kLast), {.event_time = -2}), RowState::kFromFuture);
  const Verdict verdict = JudgeRow(kView, RowOf(kNow), -kLast, {kNow, kLast});
  EXPECT_EQ(verdict.writer_age_us, kLast);
  EXPECT_EQ(verdict.state, RowState::kUnattended);
}

TEST(RowVerdictTest, ATimeBefore1970IsDamage) {
  EXPECT_EQ(StateAt(RowOf(-1), {.event_time = kNow}), RowState::kDamaged);
}

TEST(RowVerdictTest, NoCutOfARowIsReadBeyondItsEnd) {
  const std::string row = RowOf(kNow);
  for (size_t size = 0; size < row.size(); ++size) {
    // Memory of its own, so that a sanitizer sees the end.
    EXPECT_EQ(StateAt(std::string(row, 0, size), {.event_time = kNow}),
              RowState::kDamaged);
  }
  EXPECT_EQ(StateAt(row, {.event_time = kNow}), RowState::kFresh);
}

TEST(RowVerdictTest, ARowThatIsTooLongIsDamaged) {
  StoredView view = kView;
  view.body_bytes = kMaxBodyBytes + 1;
  const std::string row = RowOf(kNow, std::string(kMaxBodyBytes + 1, 'x'));
  EXPECT_EQ(ReadRow(view, row).state, RowState::kDamaged);
}

TEST(HistoryBodyTest, ItemsThatAreSaidButNotThereAreNoHistory) {
  std::string body("SWUH\1\0\0\0\xff\xff\xff\xff", 12);
  body.resize(44 + 36);
  EXPECT_FALSE(ReadHistory(body).has_value());
  body.replace(8, 4, std::string("\1\0\0\0", 4));
  ASSERT_TRUE(ReadHistory(body).has_value());
  EXPECT_EQ(ReadHistory(body)->num_items, 1);
}

TEST(HistoryBodyTest, TextIsUtf8InItsShortestForm) {
  for (const char* text : {"", "north", "n\xc3\xb6rd", "\xf0\x9f\x8f\xa0"}) {
    EXPECT_TRUE(IsUtf8(text)) << text;
  }
  for (const char* bytes : {"\x80", "\xc0\x80", "\xc3", "\xed\xa0\x80",
                            "\xf4\x90\x80\x80", "\xff", "\xe2\x82"}) {
    EXPECT_FALSE(IsUtf8(bytes));
  }
}

TEST(WatermarkTest, OnlySixteenBytesAreOne) {
  EXPECT_EQ(ReadWatermark(std::string(16, '\0')), 0);
  EXPECT_EQ(ReadWatermark("soon"), std::nullopt);
}

}  // namespace
}  // namespace stepwell::feature_rows
