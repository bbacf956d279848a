#ifndef CC_KERNELS_TOPK_KEY_VEC_H_
#define CC_KERNELS_TOPK_KEY_VEC_H_

#include <immintrin.h>

#include <bit>
#include <cstdint>

// One register of sort keys for each instruction set, beside simd/vec.h's floats.
//
// A key is an int64 that orders as the answer does: the score's bits, made to ascend as
// signed integers, above 32 bits that fall with the position. What is not finite has
// the lowest score of all. No two keys of a call are equal, and none has low bits 0.
//
//   AnyAtLeast(p, x)       whether one of kBlock floats is >= x; NaN is not
//   FromScores(p, i)       keys of the kLanes scores at p, the first at position i
//   StoreGreater(x, p)     stores the keys > x packed, returns how many; may write all
//                          kLanes slots
//   StoreRest(x, p)        the same for the keys <= x
//   AddGreater(a, b, n)    n, plus 1 in each lane where a > b
namespace stepwell::kernels {

constexpr int32_t kSunkScore = INT32_MIN;
constexpr int64_t kLowBits = 0xFFFFFFFF;

inline int32_t OrderedScore(float score) {
  // Adding zero makes -0.0 the same as 0.0.
  const int32_t bits = std::bit_cast<int32_t>(score + 0.0f);
  if ((bits & 0x7FFFFFFF) > 0x7F7FFFFF) return kSunkScore;
  return bits < 0 ? bits ^ 0x7FFFFFFF : bits;
}

inline int64_t KeyOf(float score, int64_t position) {
  const uint64_t high = static_cast<uint32_t>(OrderedScore(score));
  return static_cast<int64_t>(high << 32) | (kLowBits - position);
}

inline int64_t PlaceOf(int64_t key) { return kLowBits - (key & kLowBits); }
inline int32_t OrderedScoreOf(int64_t key) { return static_cast<int32_t>(key >> 32); }

// The score of a finite key.
inline float ScoreOf(int64_t key) {
  const int32_t ordered = OrderedScoreOf(key);
  return std::bit_cast<float>(ordered < 0 ? ordered ^ 0x7FFFFFFF : ordered);
}

}  // namespace stepwell::kernels

namespace stepwell::kernels::baseline {

// No compression without a table here: one lane, and no branch that could be guessed
// wrong.
struct KeyVec {
  static constexpr int64_t kLanes = 1;
  static constexpr int64_t kBlock = 4;
  int64_t value;

  static bool AnyAtLeast(const float* p, float x) {
    return _mm_movemask_ps(_mm_cmpge_ps(_mm_loadu_ps(p), _mm_set1_ps(x))) != 0;
  }
  static KeyVec Zero() { return {0}; }
  static KeyVec Fill(int64_t x) { return {x}; }
  static KeyVec Load(const int64_t* p) { return {*p}; }
  static KeyVec FromScores(const float* p, int64_t position) {
    return {KeyOf(*p, position)};
  }
  void Store(int64_t* p) const { *p = value; }
  int64_t StoreGreater(KeyVec x, int64_t* p) const {
    *p = value;
    return value > x.value;
  }
  int64_t StoreRest(KeyVec x, int64_t* p) const {
    *p = value;
    return value <= x.value;
  }
  static KeyVec AddGreater(KeyVec a, KeyVec b, KeyVec n) {
    return {n.value + (a.value > b.value)};
  }
};

}  // namespace stepwell::kernels::baseline

#pragma GCC push_options
#pragma GCC target("avx2,fma")
namespace stepwell::kernels::avx2 {

struct KeyVec {
  static constexpr int64_t kLanes = 4;
  static constexpr int64_t kBlock = 8;
  __m256i value;

  static bool AnyAtLeast(const float* p, float x) {
    const __m256 least = _mm256_set1_ps(x);
    return _mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(p), least, _CMP_GE_OQ)) !=
           0;
  }
  static KeyVec Zero() { return {_mm256_setzero_si256()}; }
  static KeyVec Fill(int64_t x) { return {_mm256_set1_epi64x(x)}; }
  static KeyVec Load(const int64_t* p) {
    return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))};
  }
  static KeyVec FromScores(const float* p, int64_t position) {
    const __m128 scores = _mm_add_ps(_mm_loadu_ps(p), _mm_setzero_ps());
    const __m128i bits = _mm_castps_si128(scores);
    const __m128i flip = _mm_srli_epi32(_mm_srai_epi32(bits, 31), 1);
    const __m128i size = _mm_and_si128(bits, _mm_set1_epi32(0x7FFFFFFF));
    const __m128i sunk = _mm_cmpgt_epi32(size, _mm_set1_epi32(0x7F7FFFFF));
    const __m128i ordered =
        _mm_blendv_epi8(_mm_xor_si128(bits, flip), _mm_set1_epi32(kSunkScore), sunk);
    const __m256i high = _mm256_slli_epi64(_mm256_cvtepi32_epi64(ordered), 32);
    const __m256i low = _mm256_sub_epi64(_mm256_set1_epi64x(kLowBits - position),
                                         _mm256_setr_epi64x(0, 1, 2, 3));
    return {_mm256_or_si256(high, low)};
  }
  void Store(int64_t* p) const {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), value);
  }
  static int Mask(__m256i lanes) {
    return _mm256_movemask_pd(_mm256_castsi256_pd(lanes));
  }
  // The lanes of `mask` first, by moving pairs of 32 bits.
  int64_t StorePacked(int mask, int64_t* p) const {
    alignas(32) static constexpr int32_t kPacked[16][8] = {
        {0, 0, 0, 0, 0, 0, 0, 0}, {0, 1, 0, 0, 0, 0, 0, 0}, {2, 3, 0, 0, 0, 0, 0, 0},
        {0, 1, 2, 3, 0, 0, 0, 0}, {4, 5, 0, 0, 0, 0, 0, 0}, {0, 1, 4, 5, 0, 0, 0, 0},
        {2, 3, 4, 5, 0, 0, 0, 0}, {0, 1, 2, 3, 4, 5, 0, 0}, {6, 7, 0, 0, 0, 0, 0, 0},
        {0, 1, 6, 7, 0, 0, 0, 0}, {2, 3, 6, 7, 0, 0, 0, 0}, {0, 1, 2, 3, 6, 7, 0, 0},
        {4, 5, 6, 7, 0, 0, 0, 0}, {0, 1, 4, 5, 6, 7, 0, 0}, {2, 3, 4, 5, 6, 7, 0, 0},
        {0, 1, 2, 3, 4, 5, 6, 7}};
    const __m256i order =
        _mm256_load_si256(reinterpret_cast<const __m256i*>(kPacked[mask]));
    KeyVec{_mm256_permutevar8x32_epi32(value, order)}.Store(p);
    return _mm_popcnt_u32(static_cast<unsigned>(mask));
  }
  int64_t StoreGreater(KeyVec x, int64_t* p) const {
    return StorePacked(Mask(_mm256_cmpgt_epi64(value, x.value)), p);
  }
  int64_t StoreRest(KeyVec x, int64_t* p) const {
    return StorePacked(Mask(_mm256_cmpgt_epi64(value, x.value)) ^ 15, p);
  }
  static KeyVec AddGreater(KeyVec a, KeyVec b, KeyVec n) {
    return {_mm256_sub_epi64(n.value, _mm256_cmpgt_epi64(a.value, b.value))};
  }
};

}  // namespace stepwell::kernels::avx2
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")
namespace stepwell::kernels::avx512 {

struct KeyVec {
  static constexpr int64_t kLanes = 8;
  static constexpr int64_t kBlock = 16;
  __m512i value;

  static bool AnyAtLeast(const float* p, float x) {
    return _mm512_cmp_ps_mask(_mm512_loadu_ps(p), _mm512_set1_ps(x), _CMP_GE_OQ) != 0;
  }
  static KeyVec Zero() { return {_mm512_setzero_si512()}; }
  static KeyVec Fill(int64_t x) { return {_mm512_set1_epi64(x)}; }
  static KeyVec Load(const int64_t* p) { return {_mm512_loadu_si512(p)}; }
  static KeyVec FromScores(const float* p, int64_t position) {
    const __m256 scores = _mm256_add_ps(_mm256_loadu_ps(p), _mm256_setzero_ps());
    const __m256i bits = _mm256_castps_si256(scores);
    const __m256i flip = _mm256_srli_epi32(_mm256_srai_epi32(bits, 31), 1);
    const __m256i size = _mm256_and_si256(bits, _mm256_set1_epi32(0x7FFFFFFF));
    const __mmask8 sunk = _mm256_cmpgt_epi32_mask(size, _mm256_set1_epi32(0x7F7FFFFF));
    const __m256i ordered = _mm256_mask_mov_epi32(_mm256_xor_si256(bits, flip), sunk,
                                                  _mm256_set1_epi32(kSunkScore));
    const __m512i high =
        _mm512_maskz_slli_epi64(0xFF, _mm512_maskz_cvtepi32_epi64(0xFF, ordered), 32);
    const __m512i low = _mm512_sub_epi64(_mm512_set1_epi64(kLowBits - position),
                                         _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7));
    return {_mm512_or_si512(high, low)};
  }
  void Store(int64_t* p) const { _mm512_storeu_si512(p, value); }
  // Packed in a register first: the store that packs is slow on some processors.
  int64_t StorePacked(__mmask8 mask, int64_t* p) const {
    KeyVec{_mm512_maskz_compress_epi64(mask, value)}.Store(p);
    return _mm_popcnt_u32(mask);
  }
  int64_t StoreGreater(KeyVec x, int64_t* p) const {
    return StorePacked(_mm512_cmpgt_epi64_mask(value, x.value), p);
  }
  int64_t StoreRest(KeyVec x, int64_t* p) const {
    return StorePacked(_mm512_cmple_epi64_mask(value, x.value), p);
  }
  static KeyVec AddGreater(KeyVec a, KeyVec b, KeyVec n) {
    const __mmask8 greater = _mm512_cmpgt_epi64_mask(a.value, b.value);
    return {_mm512_mask_add_epi64(n.value, greater, n.value, _mm512_set1_epi64(1))};
  }
};

}  // namespace stepwell::kernels::avx512
#pragma GCC pop_options

#endif  // CC_KERNELS_TOPK_KEY_VEC_H_
