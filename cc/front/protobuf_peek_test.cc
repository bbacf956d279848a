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

TEST(PeekTest, TheNumberOfFieldsIsBounded) {
  std::string message;
  for (int i = 0; i < kMostPeekedFields; ++i) message += Bytes("\x10\x01").data();
  EXPECT_EQ(Peek(message + "\x30\x02", kFields).priority, 0);
  EXPECT_EQ(Peek(message.substr(2) + "\x30\x02", kFields).priority, 2);
}

TEST(KeyHashTest, IsTheSameForEverAndSpreads) {
  EXPECT_EQ(KeyHash("household-1"), KeyHash("household-1"));
  std::set<uint64_t> upper;
  for (int i = 0; i < 4'000; ++i) upper.insert(KeyHash(absl::StrCat("u", i)) >> 56);
  EXPECT_EQ(upper.size(), 256);
}

}  // namespace
}  // namespace stepwell::front
