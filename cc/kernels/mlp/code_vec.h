#ifndef CC_KERNELS_MLP_CODE_VEC_H_
#define CC_KERNELS_MLP_CODE_VEC_H_

#include <immintrin.h>

#include <cstdint>

#include "cc/kernels/simd/vec.h"

// What quantising asks of a register besides simd/vec.h:
//
//   Max(a, b)            the larger; b when either is NaN
//   Magnitude(a)         without its sign
//   StoreCodes(a, p)     kLanes bytes, to nearest even; a is in [0, 255]

namespace stepwell::kernels::baseline {

inline Vec Max(Vec a, Vec b) { return {_mm_max_ps(a.value, b.value)}; }
inline Vec Magnitude(Vec a) { return {_mm_andnot_ps(_mm_set1_ps(-0.0f), a.value)}; }
inline void StoreCodes(Vec a, uint8_t* p) {
  const __m128i words = _mm_cvtps_epi32(a.value);
  const __m128i halves = _mm_packs_epi32(words, words);
  const int32_t bytes = _mm_cvtsi128_si32(_mm_packus_epi16(halves, halves));
  __builtin_memcpy(p, &bytes, sizeof(bytes));
}

}  // namespace stepwell::kernels::baseline

#pragma GCC push_options
#pragma GCC target("avx2,fma")
namespace stepwell::kernels::avx2 {

inline Vec Max(Vec a, Vec b) { return {_mm256_max_ps(a.value, b.value)}; }
inline Vec Magnitude(Vec a) {
  return {_mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.value)};
}
inline void StoreCodes(Vec a, uint8_t* p) {
  const __m256i words = _mm256_cvtps_epi32(a.value);
  const __m128i halves = _mm_packs_epi32(_mm256_castsi256_si128(words),
                                         _mm256_extracti128_si256(words, 1));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packus_epi16(halves, halves));
}

}  // namespace stepwell::kernels::avx2
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")
namespace stepwell::kernels::avx512 {

// Masked forms for the reason given in simd/vec.h.
inline Vec Max(Vec a, Vec b) { return {_mm512_maskz_max_ps(0xFFFF, a.value, b.value)}; }
inline Vec Magnitude(Vec a) {
  const __m512i bits = _mm512_castps_si512(a.value);
  return {_mm512_castsi512_ps(_mm512_and_si512(bits, _mm512_set1_epi32(0x7FFFFFFF)))};
}
inline void StoreCodes(Vec a, uint8_t* p) {
  const __m512i words = _mm512_maskz_cvtps_epi32(0xFFFF, a.value);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                   _mm512_maskz_cvtusepi32_epi8(0xFFFF, words));
}

}  // namespace stepwell::kernels::avx512
#pragma GCC pop_options

#endif  // CC_KERNELS_MLP_CODE_VEC_H_
