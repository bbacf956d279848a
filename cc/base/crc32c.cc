#include "cc/base/crc32c.h"

#include <immintrin.h>

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

// x^n modulo the polynomial, bits reversed, one to the left: the product of two
// reversed polynomials comes out one bit short.
constexpr int64_t PowerOfX(int n) {
  uint32_t power = uint32_t{1} << 31;  // x^0
  for (; n > 0; --n) power = (power >> 1) ^ ((power & 1) ? kReflectedPolynomial : 0);
  return static_cast<int64_t>(power) << 1;
}

// A remainder of 128 bits moved over the next `distance` bits of the message: its
// halves, 64 bits apart, times these two powers.
struct Fold {
  int64_t low;
  int64_t high;
};

constexpr Fold FoldOver(int distance) {
  return {PowerOfX(distance + 32), PowerOfX(distance - 32)};
}

constexpr Fold kFold128 = FoldOver(128);
constexpr Fold kFold512 = FoldOver(512);
constexpr Fold kFold2048 = FoldOver(2048);

constexpr size_t kStreamBytes = 1024;
constexpr int64_t kOverOneStream = PowerOfX(8 * kStreamBytes - 32);
constexpr int64_t kOverTwoStreams = PowerOfX(16 * kStreamBytes - 32);

inline uint64_t Word(const uint8_t* bytes) {
  uint64_t word;
  std::memcpy(&word, bytes, sizeof(word));
  return word;
}

#define STEPWELL_TARGET_CLMUL __attribute__((target("sse4.2,pclmul")))
#define STEPWELL_TARGET_VCLMUL \
  __attribute__((target("sse4.2,pclmul,vpclmulqdq,avx512f,avx512vl")))

STEPWELL_TARGET_CLMUL inline __m128i Load(const uint8_t* bytes) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes));
}

STEPWELL_TARGET_CLMUL inline __m128i Folded(__m128i remainder, Fold fold,
                                            __m128i next) {
  const __m128i by = _mm_set_epi64x(fold.high, fold.low);
  const __m128i moved = _mm_xor_si128(_mm_clmulepi64_si128(remainder, by, 0x00),
                                      _mm_clmulepi64_si128(remainder, by, 0x11));
  return _mm_xor_si128(moved, next);
}

STEPWELL_TARGET_VCLMUL inline __m512i Folded(__m512i remainders, Fold fold,
                                             __m512i next) {
  const __m512i by = _mm512_set_epi64(fold.high, fold.low, fold.high, fold.low,
                                      fold.high, fold.low, fold.high, fold.low);
  constexpr int kXorOfThree = 0x96;
  return _mm512_ternarylogic_epi64(_mm512_clmulepi64_epi128(remainders, by, 0x00),
                                   _mm512_clmulepi64_epi128(remainders, by, 0x11), next,
                                   kXorOfThree);
}

// A sum moved over as many zero bytes as `power` says: the 32 bits that summing adds
// are left out of the power.
STEPWELL_TARGET_CLMUL inline uint64_t Moved(uint64_t crc, int64_t power) {
  const __m128i product = _mm_clmulepi64_si128(
      _mm_cvtsi64_si128(static_cast<int64_t>(crc)), _mm_cvtsi64_si128(power), 0x00);
  return _mm_crc32_u64(0, static_cast<uint64_t>(_mm_cvtsi128_si64(product)));
}

// A remainder of 128 bits stands for a message of the same residue: to sum those bits
// is to sum the message.
STEPWELL_TARGET_CLMUL inline uint32_t Reduced(__m128i remainder) {
  const uint64_t low =
      _mm_crc32_u64(0, static_cast<uint64_t>(_mm_cvtsi128_si64(remainder)));
  return static_cast<uint32_t>(
      _mm_crc32_u64(low, static_cast<uint64_t>(_mm_extract_epi64(remainder, 1))));
}

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
    remainder = _mm_crc32_u64(remainder, Word(bytes));
    bytes += sizeof(uint64_t);
  }
  auto tail = static_cast<uint32_t>(remainder);
  for (; size > 0; --size) tail = _mm_crc32_u8(tail, *bytes++);
  return ~tail;
}

// A sum waits three cycles for the sum before: three at once keep the unit busy.
STEPWELL_TARGET_CLMUL uint32_t ExtendCrc32cByThreeStreams(uint32_t crc,
                                                          const void* data,
                                                          size_t size) {
  const auto* bytes = static_cast<const uint8_t*>(data);
  uint64_t first = static_cast<uint32_t>(~crc);
  for (; size >= 3 * kStreamBytes; size -= 3 * kStreamBytes) {
    uint64_t second = 0, third = 0;
    for (const uint8_t* end = bytes + kStreamBytes; bytes < end; bytes += 8) {
      first = _mm_crc32_u64(first, Word(bytes));
      second = _mm_crc32_u64(second, Word(bytes + kStreamBytes));
      third = _mm_crc32_u64(third, Word(bytes + 2 * kStreamBytes));
    }
    bytes += 2 * kStreamBytes;
    first = Moved(first, kOverTwoStreams) ^ Moved(second, kOverOneStream) ^ third;
  }
  return ExtendCrc32cBySse42(~static_cast<uint32_t>(first), bytes, size);
}

STEPWELL_TARGET_VCLMUL uint32_t ExtendCrc32cByAvx512(uint32_t crc, const void* data,
                                                     size_t size) {
  constexpr size_t kStep = 4 * sizeof(__m512i);
  if (size < kStep) return ExtendCrc32cByThreeStreams(crc, data, size);
  const auto* bytes = static_cast<const uint8_t*>(data);
  __m512i a = _mm512_loadu_si512(bytes);
  __m512i b = _mm512_loadu_si512(bytes + 64);
  __m512i c = _mm512_loadu_si512(bytes + 128);
  __m512i d = _mm512_loadu_si512(bytes + 192);
  a = _mm512_xor_si512(
      a, _mm512_zextsi128_si512(_mm_cvtsi32_si128(static_cast<int>(~crc))));
  for (bytes += kStep, size -= kStep; size >= kStep; bytes += kStep, size -= kStep) {
    a = Folded(a, kFold2048, _mm512_loadu_si512(bytes));
    b = Folded(b, kFold2048, _mm512_loadu_si512(bytes + 64));
    c = Folded(c, kFold2048, _mm512_loadu_si512(bytes + 128));
    d = Folded(d, kFold2048, _mm512_loadu_si512(bytes + 192));
  }
  d = Folded(Folded(Folded(a, kFold512, b), kFold512, c), kFold512, d);
  alignas(64) uint8_t last[sizeof(__m512i)];
  _mm512_store_si512(last, d);
  __m128i all = Load(last);
  for (size_t at = 16; at < sizeof(last); at += 16) {
    all = Folded(all, kFold128, Load(last + at));
  }
  return ExtendCrc32cBySse42(~Reduced(all), bytes, size);
}

}  // namespace internal

namespace {

using Extend = uint32_t (*)(uint32_t crc, const void* data, size_t size);

Extend Fastest() {
  if (!__builtin_cpu_supports("sse4.2")) return internal::ExtendCrc32cByTable;
  if (!__builtin_cpu_supports("pclmul")) return internal::ExtendCrc32cBySse42;
  const bool wide = __builtin_cpu_supports("vpclmulqdq") &&
                    __builtin_cpu_supports("avx512f") &&
                    __builtin_cpu_supports("avx512vl");
  return wide ? internal::ExtendCrc32cByAvx512 : internal::ExtendCrc32cByThreeStreams;
}

}  // namespace

uint32_t ExtendCrc32c(uint32_t crc, const void* data, size_t size) {
  static const Extend kExtend = Fastest();
  return kExtend(crc, data, size);
}

}  // namespace stepwell
