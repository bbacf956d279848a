#include "cc/front/protobuf_peek.h"

#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace stepwell::front {
namespace {

constexpr PeekFields kFields{
    .priority_field = 6, .deadline_ms_field = 5, .key_field = 1, .forced_field = 8};

template <size_t N>
absl::string_view Bytes(const char (&literal)[N]) {
  return {literal, N - 1};
}

TEST(PeekTest, FindsTheFieldsThatItIsTold) {
  const Peeked found = Peek(Bytes("\x0a\x03"
                                  "ann"
                                  "\x28\xac\x02\x30\x03\x40\x01"),
                            kFields);
  EXPECT_EQ(found.key, "ann");
  EXPECT_EQ(found.deadline_ms, 300);
  EXPECT_EQ(found.priority, 3);
  EXPECT_EQ(found.forced, 1);
}

TEST(PeekTest, OfAnEmptyMessageIsNothing) {
  const Peeked found = Peek("", kFields);
  EXPECT_EQ(found.key, "");
  EXPECT_EQ(found.priority, 0);
}

TEST(PeekTest, AFieldThatIsNotNamedIsNotLookedFor) {
  EXPECT_EQ(Peek(Bytes("\x30\x03"), {}).priority, 0);
}

TEST(PeekTest, TheLastOccurrenceCounts) {
  EXPECT_EQ(Peek(Bytes("\x30\x03\x0a\x01"
                       "a"
                       "\x30\x01\x0a\x01"
                       "b"),
                 kFields)
                .priority,
            1);
  EXPECT_EQ(Peek(Bytes("\x0a\x01"
                       "a"
                       "\x0a\x00"),
                 kFields)
                .key,
            "");
}

TEST(PeekTest, ANegativeNumberAndOneTooLongAreReadLikeAParser) {
  EXPECT_EQ(
      Peek(Bytes("\x28\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), kFields).deadline_ms,
      -1);
  // Bits above the 32nd are dropped.
  EXPECT_EQ(Peek(Bytes("\x28\x85\x80\x80\x80\x80\x01"), kFields).deadline_ms, 5);
}

TEST(PeekTest, OtherWireTypesAndUnknownFieldsArePassedOver) {
  const Peeked found = Peek(Bytes("\x31"
                                  "12345678"
                                  "\x35"
                                  "1234"
                                  "\x32\x02"
                                  "xy"
                                  "\x9a\x06\x01"
                                  "z"
                                  "\x30\x02"),
                            kFields);
  EXPECT_EQ(found.priority, 2);
}

TEST(PeekTest, FieldsInAGroupAreNotTheMessages) {
  // Field 3 is a group with a field 6 in it.
  EXPECT_EQ(Peek(Bytes("\x1b\x30\x03\x1c\x40\x02"), kFields).priority, 0);
  EXPECT_EQ(Peek(Bytes("\x1b\x30\x03\x1c\x40\x02"), kFields).forced, 2);
}

TEST(PeekTest, OfAMalformedMessageIsWhatCameBefore) {
  const std::string good("\x30\x02", 2);
  const absl::string_view bad[] = {
      Bytes("\x0a\x7f"
            "short"),                                             // ends too early
      Bytes("\x28"),                                              // no number
      Bytes("\x28\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"),  // eleven bytes
      Bytes("\x00\x01\x30\x03"),                                  // field 0
      Bytes("\x1c\x30\x03"),                                      // no group to end
      Bytes("\x37\x30\x03"),                                      // wire type 7
      Bytes("\x31\x30\x03"),                                      // eight bytes are not
      Bytes("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),      // a length of 2^64
      Bytes("\xb0\x80\x80\x80\x80\x01\x03"),                      // a tag of 33 bits
  };
  for (const absl::string_view end : bad) {
    EXPECT_EQ(Peek(absl::StrCat(good, end), kFields).priority, 2);
  }
}

std::string Times(int64_t num, const std::string& field) {
  std::string fields;
  for (int64_t i = 0; i < num; ++i) fields += field;
  return fields;
}

const std::string kEmptyEntry("\x1a\x00", 2);
const std::string kOtherEntry("\x22\x01x", 3);

constexpr EntryLimit kLimits[] = {{.field = 3, .max_entries = 1'000},
                                  {.field = 4, .max_entries = 2}};
constexpr PeekFields kCounted{.priority_field = 6, .entry_limits = kLimits};

TEST(PeekTest, WhatStandsBehindEverythingElseIsFound) {
  const std::string message = Times(131'000, std::string("\x10\x01", 2));
  EXPECT_EQ(Peek(message + "\x30\x02", kFields).priority, 2);
}

TEST(PeekTest, OneEntryOverTheLimitIsAnExcessAndAllOfThemAreCounted) {
  EXPECT_EQ(Peek(Times(1'000, kEmptyEntry), kCounted).excess.field, 0);
  for (const int64_t num : {1'001, 131'072}) {
    const Peeked found = Peek(Times(num, kEmptyEntry) + "\x30\x02", kCounted);
    EXPECT_EQ(found.excess.field, 3);
    EXPECT_EQ(found.excess.num_entries, num);
    EXPECT_EQ(found.priority, 2);
  }
}

TEST(PeekTest, EntriesCountWhereverTheyStandAndEachFieldForItself) {
  const std::string pair = kEmptyEntry + kOtherEntry;
  EXPECT_EQ(Peek(Times(2, pair), kCounted).excess.field, 0);
  const Excess of_one = Peek(Times(3, pair), kCounted).excess;
  EXPECT_EQ(of_one.field, 4);
  EXPECT_EQ(of_one.num_entries, 3);
  // Of both, the one whose limit is named first.
  EXPECT_EQ(Peek(Times(1'001, pair), kCounted).excess.field, 3);
}

TEST(PeekTest, WhatAParserTakesForNoEntryIsNone) {
  const std::string as_number("\x20\x01", 2);
  const std::string in_group = absl::StrCat("\x2b", Times(9, kOtherEntry), "\x2c");
  EXPECT_EQ(Peek(Times(9, as_number) + in_group, kCounted).excess.field, 0);
}

TEST(PeekTest, AnExcessBeforeTheEndOfAMalformedMessageIsOne) {
  EXPECT_EQ(Peek(Times(3, kOtherEntry) + "\x0a\x7f", kCounted).excess.num_entries, 3);
}

TEST(PeekTest, MoreLimitsThanCanBeAreLeftOut) {
  constexpr EntryLimit kFive[] = {{11, 0}, {12, 0}, {13, 0}, {14, 0}, {4, 0}};
  EXPECT_EQ(Peek(kOtherEntry, {.entry_limits = kFive}).excess.field, 0);
}

TEST(KeyHashTest, IsTheSameForEverAndSpreads) {
  EXPECT_EQ(KeyHash("household-1"), KeyHash("household-1"));
  std::set<uint64_t> upper;
  for (int i = 0; i < 4'000; ++i) upper.insert(KeyHash(absl::StrCat("u", i)) >> 56);
  EXPECT_EQ(upper.size(), 256);
}

TEST(KeyHashTest, OfALongKeyTheBeginningCounts) {
  const std::string longest(kHashedKeyBytes, 'u');
  EXPECT_EQ(KeyHash(longest + "more"), KeyHash(longest));
  EXPECT_NE(KeyHash(longest.substr(1) + "m"), KeyHash(longest));
}

}  // namespace
}  // namespace stepwell::front
