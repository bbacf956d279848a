// Sums across registers, for the kernels of codes. Only for their .cc files.
#ifndef STEPWELL_CC_INDEX_CODE_SUMS_H_
#define STEPWELL_CC_INDEX_CODE_SUMS_H_

// GCC 12 takes the undefined half of a cast vector in its own headers for a
// mistake.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop

#include <cstddef>

namespace stepwell::index {

#define STEPWELL_INLINE __attribute__((always_inline)) inline
#define STEPWELL_AVX2 __attribute__((target("avx2,fma")))
#define STEPWELL_AVX512 \
  __attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")))

inline bool HasAvx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

inline bool HasAvx512() {
  return HasAvx2() && __builtin_cpu_supports("avx512f") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512bw");
}

// Rows this far ahead are fetched while the current ones are summed.
inline constexpr size_t kPrefetchRows = 8;

STEPWELL_INLINE void PrefetchRow(const char* row, size_t bytes) {
  constexpr size_t kLine = 64;
  // The processor goes on by itself in longer rows, and the cache has room for a few
  // rows only.
  constexpr size_t kLongest = 16 * kLine;
  if (bytes > kLongest) bytes = kLongest;
  for (size_t at = 0; at < bytes; at += kLine) _mm_prefetch(row + at, _MM_HINT_T0);
  // Rows that start within a line may end in one more.
  if (bytes % kLine != 0) _mm_prefetch(row + bytes - 1, _MM_HINT_T0);
}

// The sum of each of four registers.
STEPWELL_AVX2 STEPWELL_INLINE __m128 SumsOf(__m256 a, __m256 b, __m256 c, __m256 d) {
  const __m256 sums = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
  return _mm_add_ps(_mm256_castps256_ps128(sums), _mm256_extractf128_ps(sums, 1));
}

STEPWELL_AVX2 STEPWELL_INLINE __m128i SumsOf(__m256i a, __m256i b, __m256i c,
                                             __m256i d) {
  const __m256i sums =
      _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
  return _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
}

STEPWELL_AVX512 STEPWELL_INLINE __m256 HalfOf(__m512 sums) {
  return _mm256_add_ps(_mm512_castps512_ps256(sums), _mm512_extractf32x8_ps(sums, 1));
}

STEPWELL_AVX512 STEPWELL_INLINE __m256i HalfOf(__m512i sums) {
  return _mm256_add_epi32(_mm512_castsi512_si256(sums),
                          _mm512_extracti64x4_epi64(sums, 1));
}

}  // namespace stepwell::index

#endif  // STEPWELL_CC_INDEX_CODE_SUMS_H_
