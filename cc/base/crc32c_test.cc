#include "cc/base/crc32c.h"

#include <string>

#include "gtest/gtest.h"

namespace stepwell {
namespace {

std::string Bytes(size_t size) {
  std::string bytes(size, '\0');
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * 31 + 7);
  return bytes;
}

// Values of RFC 3720, appendix B.4.
TEST(Crc32cTest, MatchesThePublishedVectors) {
  EXPECT_EQ(ExtendCrc32c(0, std::string(32, '\0').data(), 32), 0x8A9136AAu);
  EXPECT_EQ(ExtendCrc32c(0, std::string(32, '\xff').data(), 32), 0x62A8AB43u);
  EXPECT_EQ(ExtendCrc32c(0, "123456789", 9), 0xE3069283u);
}

TEST(Crc32cTest, HardwareAndTableAgreeAtEverySizeAndAlignment) {
  if (!__builtin_cpu_supports("sse4.2")) GTEST_SKIP() << "no SSE4.2 here";
  const std::string bytes = Bytes(200);
  for (size_t start = 0; start < 9; ++start) {
    for (size_t size = 0; size + start <= bytes.size(); ++size) {
      ASSERT_EQ(internal::ExtendCrc32cBySse42(5, bytes.data() + start, size),
                internal::ExtendCrc32cByTable(5, bytes.data() + start, size))
          << "start " << start << " size " << size;
    }
  }
}

TEST(Crc32cTest, PiecesSumToTheWhole) {
  const std::string bytes = Bytes(100);
  const uint32_t whole = ExtendCrc32c(0, bytes.data(), bytes.size());
  for (size_t cut = 0; cut <= bytes.size(); ++cut) {
    const uint32_t head = ExtendCrc32c(0, bytes.data(), cut);
    EXPECT_EQ(ExtendCrc32c(head, bytes.data() + cut, bytes.size() - cut), whole);
  }
}

TEST(Crc32cTest, EveryFlippedBitChangesTheSum) {
  std::string bytes = Bytes(64);
  const uint32_t whole = ExtendCrc32c(0, bytes.data(), bytes.size());
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    bytes[bit / 8] ^= static_cast<char>(1 << (bit % 8));
    EXPECT_NE(ExtendCrc32c(0, bytes.data(), bytes.size()), whole);
    bytes[bit / 8] ^= static_cast<char>(1 << (bit % 8));
  }
}

}  // namespace
}  // namespace stepwell
