#include "cc/front/grpc_wire.h"

#include <string>

#include "cc/base/field_error.h"
#include "gtest/gtest.h"

namespace stepwell::front {
namespace {

TEST(ParseTimeoutTest, KnowsEveryUnit) {
  EXPECT_EQ(*ParseTimeoutUs("2H"), 7'200'000'000);
  EXPECT_EQ(*ParseTimeoutUs("3M"), 180'000'000);
  EXPECT_EQ(*ParseTimeoutUs("4S"), 4'000'000);
  EXPECT_EQ(*ParseTimeoutUs("250m"), 250'000);
  EXPECT_EQ(*ParseTimeoutUs("99u"), 99);
  EXPECT_EQ(*ParseTimeoutUs("5000n"), 5);
}

TEST(ParseTimeoutTest, APartOfAMicrosecondCountsAsAWholeOne) {
  EXPECT_EQ(*ParseTimeoutUs("1n"), 1);
  EXPECT_EQ(*ParseTimeoutUs("1001n"), 2);
  EXPECT_EQ(*ParseTimeoutUs("0n"), 0);
}

TEST(ParseTimeoutTest, TheLongestFits) {
  EXPECT_EQ(*ParseTimeoutUs("99999999H"), 359'999'996'400'000'000);
}

TEST(ParseTimeoutTest, RefusesWhatIsNoTimeout) {
  for (const char* value : {"", "m", "10", "10s", "10 m", "-1m", "+1m", "1.5S",
                            "123456789m", "m10", "10mm", " 1m", "1m "}) {
    const auto parsed = ParseTimeoutUs(value);
    EXPECT_EQ(FieldOf(parsed.status()), "grpc-timeout") << value;
  }
  EXPECT_FALSE(ParseTimeoutUs(absl::string_view("1\0m", 3)).ok());
}

TEST(PercentEncodeTest, LeavesPrintableAsciiAndEncodesTheRest) {
  EXPECT_EQ(PercentEncode("k is 0, must be in [1, 10]~"),
            "k is 0, must be in [1, 10]~");
  EXPECT_EQ(PercentEncode("100%\n\t\x7f"), "100%25%0A%09%7F");
  EXPECT_EQ(PercentEncode("\xc3\xa9"), "%C3%A9");
  EXPECT_EQ(PercentEncode(""), "");
}

TEST(Base64Test, SendsNoPaddingAndReadsBoth) {
  const std::string texts[] = {"", "f", "fo", "foo", "foob", "\x00\xff\xfe"};
  for (const std::string& text : texts) {
    const std::string sent = Base64Encode(text);
    EXPECT_EQ(sent.find('='), std::string::npos);
    EXPECT_EQ(*Base64Decode(sent), text);
    const std::string padded = sent + std::string((4 - sent.size() % 4) % 4, '=');
    EXPECT_EQ(*Base64Decode(padded), text);
  }
  EXPECT_EQ(Base64Encode("fo"), "Zm8");
}

TEST(Base64Test, RefusesWhatIsNone) {
  for (const char* text : {"Z", "Zm8==", "Zm=8", "Z m8", "Zm8.", "Zm8-", "Zm9v="}) {
    EXPECT_FALSE(Base64Decode(text).ok()) << text;
  }
}

TEST(MessagePrefixTest, IsAFlagAndABigEndianLength) {
  const auto prefix = MessagePrefix(0x01020384);
  EXPECT_EQ(std::string(prefix.begin(), prefix.end()),
            std::string("\x00\x01\x02\x03\x84", 5));
}

}  // namespace
}  // namespace stepwell::front
