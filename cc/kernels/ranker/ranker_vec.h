#ifndef CC_KERNELS_RANKER_RANKER_VEC_H_
#define CC_KERNELS_RANKER_RANKER_VEC_H_

#include <immintrin.h>

#include <cmath>
#include <cstdint>
#include <cstring>

// Sixteen floats or integers, and the two products of a packed layer:
//
//   DotBfloat16(sum, pair, p)  adds to lane i the products of two bfloat16: those in
//                              `pair` with those at p + 4 i
//   DotCodes(sum, quad, p)     the same of four bytes: unsigned ones in `quad`, signed
//                              ones at p + 4 i
//   Log1p                      of lanes >= 0; within 2e-7 of the greater of 1 and log1p
//   IsFinite(x, y)             x where it is finite, otherwise y
//   StoreCodes                 sixteen bytes, to nearest even; lanes are in [0, 255]

namespace stepwell::kernels::baseline {

inline float FloatOf(uint16_t bfloat16) {
  const uint32_t bits = static_cast<uint32_t>(bfloat16) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

inline uint16_t Bfloat16Of(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  if (value != value) return static_cast<uint16_t>((bits | 0x00400000u) >> 16);
  return static_cast<uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

struct Ints {
  int32_t lanes[16];
  static Ints Load(const int32_t* p) {
    Ints x;
    std::memcpy(x.lanes, p, sizeof(x.lanes));
    return x;
  }
};

struct Floats {
  float lanes[16];

  static Floats Fill(float x) {
    Floats filled;
    for (float& lane : filled.lanes) lane = x;
    return filled;
  }
  static Floats Load(const float* p) {
    Floats x;
    std::memcpy(x.lanes, p, sizeof(x.lanes));
    return x;
  }
  static Floats LoadBfloat16(const uint16_t* p) {
    Floats x;
    for (int i = 0; i < 16; ++i) x.lanes[i] = FloatOf(p[i]);
    return x;
  }
  static Floats Of(Ints ints) {
    Floats x;
    for (int i = 0; i < 16; ++i) x.lanes[i] = static_cast<float>(ints.lanes[i]);
    return x;
  }
  void Store(float* p) const { std::memcpy(p, lanes, sizeof(lanes)); }
  void StoreBfloat16(uint16_t* p) const {
    for (int i = 0; i < 16; ++i) p[i] = Bfloat16Of(lanes[i]);
  }
  void StoreCodes(uint8_t* p) const {
    for (int i = 0; i < 16; ++i) {
      p[i] = static_cast<uint8_t>(std::nearbyintf(lanes[i]));
    }
  }
  static Floats MulAdd(Floats a, Floats b, Floats c) {
    for (int i = 0; i < 16; ++i) c.lanes[i] += a.lanes[i] * b.lanes[i];
    return c;
  }
  static Floats Sub(Floats a, Floats b) {
    for (int i = 0; i < 16; ++i) a.lanes[i] -= b.lanes[i];
    return a;
  }
  static Floats Mul(Floats a, Floats b) {
    for (int i = 0; i < 16; ++i) a.lanes[i] *= b.lanes[i];
    return a;
  }
  // The second one where either is no number.
  static Floats Max(Floats a, Floats b) {
    for (int i = 0; i < 16; ++i) {
      b.lanes[i] = a.lanes[i] > b.lanes[i] ? a.lanes[i] : b.lanes[i];
    }
    return b;
  }
  static Floats Min(Floats a, Floats b) {
    for (int i = 0; i < 16; ++i) {
      b.lanes[i] = a.lanes[i] < b.lanes[i] ? a.lanes[i] : b.lanes[i];
    }
    return b;
  }
  static Floats Magnitude(Floats a) {
    for (float& lane : a.lanes) lane = std::fabs(lane);
    return a;
  }
  static Floats IsFinite(Floats a, Floats otherwise) {
    for (int i = 0; i < 16; ++i) {
      if (!std::isfinite(a.lanes[i])) a.lanes[i] = otherwise.lanes[i];
    }
    return a;
  }
  static Floats Log1p(Floats a) {
    for (float& lane : a.lanes) lane = std::log1pf(lane);
    return a;
  }
  float Sum() const {
    float sum = 0.0f;
    for (float lane : lanes) sum += lane;
    return sum;
  }
  float Largest() const {
    float largest = lanes[0];
    for (float lane : lanes) largest = lane > largest ? lane : largest;
    return largest;
  }
};

inline Floats DotBfloat16(Floats sum, uint32_t pair, const void* p) {
  uint16_t right[32];
  std::memcpy(right, p, sizeof(right));
  const float first = FloatOf(static_cast<uint16_t>(pair));
  const float second = FloatOf(static_cast<uint16_t>(pair >> 16));
  for (int i = 0; i < 16; ++i) {
    sum.lanes[i] += first * FloatOf(right[2 * i]) + second * FloatOf(right[2 * i + 1]);
  }
  return sum;
}

inline Ints DotCodes(Ints sum, uint32_t quad, const void* p) {
  int8_t right[64];
  std::memcpy(right, p, sizeof(right));
  for (int i = 0; i < 16; ++i) {
    for (int k = 0; k < 4; ++k) {
      sum.lanes[i] += static_cast<int32_t>(quad >> (8 * k) & 255u) * right[4 * i + k];
    }
  }
  return sum;
}

}  // namespace stepwell::kernels::baseline

#pragma GCC push_options
#pragma GCC target("avx512vnni,avx512bf16,avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")
namespace stepwell::kernels::avx512_vnni {

// The intrinsics are the zero-masking ones with full masks where GCC 12 warns inside
// its own header about the plain ones.
struct Ints {
  // Not __m512i, which may alias anything: GCC 12 would keep arrays of it in memory.
  using Lanes = int32_t __attribute__((vector_size(64)));
  Lanes value;
  static Ints Load(const int32_t* p) { return {(Lanes)_mm512_loadu_si512(p)}; }
};

struct Floats {
  __m512 value;

  static Floats Fill(float x) { return {_mm512_set1_ps(x)}; }
  static Floats Load(const float* p) { return {_mm512_loadu_ps(p)}; }
  static Floats LoadBfloat16(const uint16_t* p) {
    const __m512i bits = _mm512_maskz_cvtepu16_epi32(
        0xFFFF, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    return {_mm512_castsi512_ps(_mm512_maskz_slli_epi32(0xFFFF, bits, 16))};
  }
  static Floats Of(Ints ints) {
    return {_mm512_maskz_cvtepi32_ps(0xFFFF, (__m512i)ints.value)};
  }
  void Store(float* p) const { _mm512_storeu_ps(p, value); }
  void StoreBfloat16(uint16_t* p) const {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                        (__m256i)_mm512_cvtneps_pbh(value));
  }
  void StoreCodes(uint8_t* p) const {
    const __m512i words = _mm512_maskz_cvtps_epi32(0xFFFF, value);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                     _mm512_maskz_cvtusepi32_epi8(0xFFFF, words));
  }
  static Floats MulAdd(Floats a, Floats b, Floats c) {
    return {_mm512_fmadd_ps(a.value, b.value, c.value)};
  }
  static Floats Sub(Floats a, Floats b) { return {_mm512_sub_ps(a.value, b.value)}; }
  static Floats Mul(Floats a, Floats b) { return {_mm512_mul_ps(a.value, b.value)}; }
  static Floats Max(Floats a, Floats b) {
    return {_mm512_maskz_max_ps(0xFFFF, a.value, b.value)};
  }
  static Floats Min(Floats a, Floats b) {
    return {_mm512_maskz_min_ps(0xFFFF, a.value, b.value)};
  }
  static Floats Magnitude(Floats a) {
    const __m512i bits = _mm512_castps_si512(a.value);
    return {_mm512_castsi512_ps(_mm512_and_si512(bits, _mm512_set1_epi32(0x7FFFFFFF)))};
  }
  static Floats IsFinite(Floats a, Floats otherwise) {
    const __mmask16 finite =
        _mm512_cmp_ps_mask(Magnitude(a).value, _mm512_set1_ps(__FLT_MAX__), _CMP_LE_OQ);
    return {_mm512_mask_mov_ps(otherwise.value, finite, a.value)};
  }
  // 1 + a = m * 2^e with m in [0.75, 1.5), and log(m) by the series of atanh in
  // (m - 1) / (m + 1), which is at most 1/5: the term after x^9 is below 1e-9.
  static Floats Log1p(Floats a) {
    const __m512 one = _mm512_set1_ps(1.0f);
    const __m512 sum = _mm512_add_ps(a.value, one);
    const __m512 m =
        _mm512_maskz_getmant_ps(0xFFFF, sum, _MM_MANT_NORM_p75_1p5, _MM_MANT_SIGN_src);
    // getexp counts from mantissas in [1, 2).
    const __mmask16 is_small = _mm512_cmp_ps_mask(m, one, _CMP_LT_OQ);
    const __m512 floor = _mm512_maskz_getexp_ps(0xFFFF, sum);
    const __m512 e = _mm512_mask_add_ps(floor, is_small, floor, one);
    const __m512 x = _mm512_div_ps(_mm512_sub_ps(m, one), _mm512_add_ps(m, one));
    const __m512 x2 = _mm512_mul_ps(x, x);
    __m512 series = _mm512_set1_ps(2.0f / 9.0f);
    series = _mm512_fmadd_ps(series, x2, _mm512_set1_ps(2.0f / 7.0f));
    series = _mm512_fmadd_ps(series, x2, _mm512_set1_ps(2.0f / 5.0f));
    series = _mm512_fmadd_ps(series, x2, _mm512_set1_ps(2.0f / 3.0f));
    series = _mm512_fmadd_ps(series, x2, _mm512_set1_ps(2.0f));
    const __m512 ln2 = _mm512_set1_ps(0.693147180559945f);
    return {_mm512_fmadd_ps(e, ln2, _mm512_mul_ps(x, series))};
  }
  float Sum() const {
    float lanes[16];
    Store(lanes);
    float sum = 0.0f;
    for (float lane : lanes) sum += lane;
    return sum;
  }
  float Largest() const {
    const __m256 halves = _mm256_max_ps(_mm512_maskz_extractf32x8_ps(0xFF, value, 0),
                                        _mm512_maskz_extractf32x8_ps(0xFF, value, 1));
    const __m128 fours =
        _mm_max_ps(_mm256_castps256_ps128(halves), _mm256_extractf128_ps(halves, 1));
    const __m128 pairs = _mm_max_ps(fours, _mm_movehl_ps(fours, fours));
    return _mm_cvtss_f32(_mm_max_ss(pairs, _mm_shuffle_ps(pairs, pairs, 1)));
  }
};

inline Floats DotBfloat16(Floats sum, uint32_t pair, const void* p) {
  const __m512i left = _mm512_set1_epi32(static_cast<int>(pair));
  return {_mm512_dpbf16_ps(sum.value, (__m512bh)left, (__m512bh)_mm512_loadu_si512(p))};
}

inline Ints DotCodes(Ints sum, uint32_t quad, const void* p) {
  const __m512i left = _mm512_set1_epi32(static_cast<int>(quad));
  return {(Ints::Lanes)_mm512_dpbusd_epi32((__m512i)sum.value, left,
                                           _mm512_loadu_si512(p))};
}

}  // namespace stepwell::kernels::avx512_vnni
#pragma GCC pop_options

#endif  // CC_KERNELS_RANKER_RANKER_VEC_H_
