#include "cc/base/crc32c.h"

#include <nmmintrin.h>

#include <array>
#include <cstring>

namespace stepwell {
namespace {

constexpr uint32_t kReflectedPolynomial = 0x82F63B78;

constexpr std::array<uint32_t, 256> MakeTable() {
  std::array<uint32_t, 256> table{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t remainder = byte;
    for (int bit = 0; bit < 8; ++bit) {
      const uint32_t subtrahend = (remainder & 1) ? kReflectedPolynomial : 0;
      remainder = (remainder >> 1) ^ subtrahend;
    }
    table[byte] = remainder;
  }
  return table;
}

constexpr std::array<uint32_t, 256> kTable = MakeTable();

}  // namespace

namespace internal {

uint32_t ExtendCrc32cByTable(uint32_t crc, const void* data, size_t size) {
  const auto* bytes = static_cast<const uint8_t*>(data);
  uint32_t remainder = ~crc;
  for (size_t i = 0; i < size; ++i) {
    remainder = (remainder >> 8) ^ kTable[(remainder ^ bytes[i]) & 0xFF];
  }
  return ~remainder;
}

__attribute__((target("sse4.2"))) uint32_t ExtendCrc32cBySse42(uint32_t crc,
                                                               const void* data,
                                                               size_t size) {
  const auto* bytes = static_cast<const uint8_t*>(data);
  uint64_t remainder = static_cast<uint32_t>(~crc);
  for (; size >= sizeof(uint64_t); size -= sizeof(uint64_t)) {
    uint64_t word;
    std::memcpy(&word, bytes, sizeof(word));
    remainder = _mm_crc32_u64(remainder, word);
    bytes += sizeof(word);
  }
  auto tail = static_cast<uint32_t>(remainder);
  for (; size > 0; --size) tail = _mm_crc32_u8(tail, *bytes++);
  return ~tail;
}

}  // namespace internal

uint32_t ExtendCrc32c(uint32_t crc, const void* data, size_t size) {
  static const bool kHasSse42 = __builtin_cpu_supports("sse4.2");
  return kHasSse42 ? internal::ExtendCrc32cBySse42(crc, data, size)
                   : internal::ExtendCrc32cByTable(crc, data, size);
}

}  // namespace stepwell
