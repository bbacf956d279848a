#include "cc/base/crc32c.h"

#include <algorithm>
#include <string>
#include <vector>

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

using Extend = uint32_t (*)(uint32_t crc, const void* data, size_t size);

std::vector<Extend> InstructionsHere() {
  std::vector<Extend> found = {ExtendCrc32c};
  if (__builtin_cpu_supports("sse4.2")) {
    found.push_back(internal::ExtendCrc32cBySse42);
    if (__builtin_cpu_supports("pclmul")) {
      found.push_back(internal::ExtendCrc32cByThreeStreams);
    }
  }
  if (__builtin_cpu_supports("vpclmulqdq") && __builtin_cpu_supports("avx512vl")) {
    found.push_back(internal::ExtendCrc32cByAvx512);
  }
  return found;
}

TEST(Crc32cTest, EveryInstructionSetAgreesWithTheTableAtEverySizeAndAlignment) {
  // Every remainder behind the widest step, and more than one of three streams.
  const std::string bytes = Bytes(7000);
  for (const Extend extend : InstructionsHere()) {
    for (size_t start = 0; start < 9; ++start) {
      for (size_t size = 0; size + start <= bytes.size(); size += size < 800 ? 1 : 37) {
        ASSERT_EQ(extend(5, bytes.data() + start, size),
                  internal::ExtendCrc32cByTable(5, bytes.data() + start, size))
            << "start " << start << " size " << size;
      }
    }
  }
}

TEST(Crc32cTest, ALongBlockSumsAsTheTableSaysWholeAndInUnevenPieces) {
  const std::string bytes = Bytes((size_t{1} << 18) + 77);
  const uint32_t expected =
      internal::ExtendCrc32cByTable(0, bytes.data(), bytes.size());
  for (const Extend extend : InstructionsHere()) {
    EXPECT_EQ(extend(0, bytes.data(), bytes.size()), expected);
    uint32_t crc = 0;
    for (size_t at = 0, piece = 1; at < bytes.size();
         at += piece, piece = piece * 3 + 1) {
      crc = extend(crc, bytes.data() + at, std::min(piece, bytes.size() - at));
    }
    EXPECT_EQ(crc, expected);
  }
}

TEST(Crc32cTest, PiecesSumToTheWhole) {
  const std::string bytes = Bytes(700);
  const uint32_t whole = ExtendCrc32c(0, bytes.data(), bytes.size());
  for (size_t cut = 0; cut <= bytes.size(); ++cut) {
    const uint32_t head = ExtendCrc32c(0, bytes.data(), cut);
    EXPECT_EQ(ExtendCrc32c(head, bytes.data() + cut, bytes.size() - cut), whole);
  }
}

TEST(Crc32cTest, EveryFlippedBitChangesTheSum) {
  std::string bytes = Bytes(600);
  const uint32_t whole = ExtendCrc32c(0, bytes.data(), bytes.size());
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    bytes[bit / 8] ^= static_cast<char>(1 << (bit % 8));
    EXPECT_NE(ExtendCrc32c(0, bytes.data(), bytes.size()), whole);
    bytes[bit / 8] ^= static_cast<char>(1 << (bit % 8));
  }
}

}  // namespace
}  // namespace stepwell
