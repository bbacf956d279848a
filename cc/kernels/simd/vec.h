#ifndef CC_KERNELS_SIMD_VEC_H_
#define CC_KERNELS_SIMD_VEC_H_

#include <immintrin.h>

#include <cstdint>

// One register of floats for each instruction set, all with the same few operations:
//
//   Load / Store          all kLanes floats, any alignment
//   LoadFirst/StoreFirst  the first n lanes, 1 <= n < kLanes; memory past them is not
//                         touched; LoadFirst zeroes the other lanes
//   MulAdd(a, b, c)       a * b + c
//   LoadFloat16, LoadBfloat16, LoadBytes   kLanes numbers of that type, as floats;
//   StoreFloat16, StoreBfloat16            the way back, to nearest even
//   LoadNibbles           kLanes bytes: their low and their high halves, as floats
//   Interleave(a, b)      a0 b0 a1 b1 ...: its first kLanes into a, the others into b
//
// None of them asks for any alignment.
//
// A kernel body is a header written once against `Vec` and included once per set, in
// the namespace of that set and between the `#pragma GCC target` of that set (see
// per_isa.h). Such a body includes no header: what is compiled there may use the wide
// instructions, and a standard function compiled there could be the copy that the
// linker keeps for everyone.

namespace stepwell::kernels::baseline {

struct Vec {
  static constexpr int64_t kLanes = 4;
  __m128 value;

  static Vec Zero() { return {_mm_setzero_ps()}; }
  static Vec Fill(float x) { return {_mm_set1_ps(x)}; }
  static Vec Load(const float* p) { return {_mm_loadu_ps(p)}; }
  static Vec LoadFirst(const float* p, int64_t n) {
    return {_mm_setr_ps(p[0], n > 1 ? p[1] : 0.0f, n > 2 ? p[2] : 0.0f, 0.0f)};
  }
  void Store(float* p) const { _mm_storeu_ps(p, value); }
  void StoreFirst(float* p, int64_t n) const {
    float lanes[4];
    _mm_storeu_ps(lanes, value);
    for (int64_t lane = 0; lane < n; ++lane) p[lane] = lanes[lane];
  }
  static Vec Add(Vec a, Vec b) { return {_mm_add_ps(a.value, b.value)}; }
  static Vec Mul(Vec a, Vec b) { return {_mm_mul_ps(a.value, b.value)}; }
  static Vec MulAdd(Vec a, Vec b, Vec c) { return Add(Mul(a, b), c); }
  static Vec LoadFloat16(const void* p) {
    const __m128i half = _mm_cvtepu16_epi32(_mm_loadl_epi64(AsVector(p)));
    const __m128i magnitude = _mm_and_si128(half, _mm_set1_epi32(0x7FFF));
    const __m128i sign = _mm_slli_epi32(_mm_xor_si128(half, magnitude), 16);
    // The exponent's bias differs by 112; multiplying also makes subnormals normal.
    const __m128 scaled = _mm_mul_ps(_mm_castsi128_ps(_mm_slli_epi32(magnitude, 13)),
                                     _mm_set1_ps(0x1p112f));
    const __m128i is_special = _mm_cmpgt_epi32(magnitude, _mm_set1_epi32(0x7BFF));
    const __m128i special = _mm_and_si128(is_special, _mm_set1_epi32(0x7F800000));
    return {_mm_or_ps(scaled, _mm_castsi128_ps(_mm_or_si128(special, sign)))};
  }
  static Vec LoadBfloat16(const void* p) {
    const __m128i bits = _mm_cvtepu16_epi32(_mm_loadl_epi64(AsVector(p)));
    return {_mm_castsi128_ps(_mm_slli_epi32(bits, 16))};
  }
  static Vec LoadBytes(const uint8_t* p) { return {_mm_cvtepi32_ps(Bytes(p))}; }
  static void LoadNibbles(const uint8_t* p, Vec& low, Vec& high) {
    const __m128i bytes = Bytes(p);
    low = {_mm_cvtepi32_ps(_mm_and_si128(bytes, _mm_set1_epi32(15)))};
    high = {_mm_cvtepi32_ps(_mm_srli_epi32(bytes, 4))};
  }
  static void Interleave(Vec& a, Vec& b) {
    const __m128 first = _mm_unpacklo_ps(a.value, b.value);
    b = {_mm_unpackhi_ps(a.value, b.value)};
    a = {first};
  }
  void StoreFloat16(void* p) const {
    const __m128i bits = _mm_castps_si128(value);
    const __m128i magnitude = _mm_and_si128(bits, _mm_set1_epi32(0x7FFFFFFF));
    const __m128i sign = _mm_srli_epi32(_mm_xor_si128(bits, magnitude), 16);
    const __m128i odd = _mm_and_si128(_mm_srli_epi32(magnitude, 13), _mm_set1_epi32(1));
    const __m128i normal = _mm_srli_epi32(
        _mm_add_epi32(_mm_add_epi32(magnitude, _mm_set1_epi32(0x0FFF - (112 << 23))),
                      odd),
        13);
    // Adding 0.5 lets the adder itself round to the spacing of subnormals, 2^-24.
    const __m128 half = _mm_set1_ps(0.5f);
    const __m128i subnormal =
        _mm_sub_epi32(_mm_castps_si128(_mm_add_ps(_mm_castsi128_ps(magnitude), half)),
                      _mm_castps_si128(half));
    const __m128i is_nan = _mm_cmpgt_epi32(magnitude, _mm_set1_epi32(0x7F800000));
    const __m128i special = _mm_or_si128(_mm_set1_epi32(0x7C00),
                                         _mm_and_si128(is_nan, _mm_set1_epi32(512)));
    const __m128i is_small = _mm_cmpgt_epi32(_mm_set1_epi32(0x38800000), magnitude);
    const __m128i is_large = _mm_cmpgt_epi32(magnitude, _mm_set1_epi32(0x477FFFFF));
    const __m128i found = _mm_blendv_epi8(_mm_blendv_epi8(normal, subnormal, is_small),
                                          special, is_large);
    StoreLowHalves(_mm_or_si128(found, sign), p);
  }
  void StoreBfloat16(void* p) const {
    const __m128i bits = _mm_castps_si128(value);
    const __m128i odd = _mm_and_si128(_mm_srli_epi32(bits, 16), _mm_set1_epi32(1));
    const __m128i rounded =
        _mm_add_epi32(_mm_add_epi32(bits, _mm_set1_epi32(0x7FFF)), odd);
    // Rounding could carry a NaN into infinity: it is made quiet instead.
    const __m128i quiet = _mm_or_si128(bits, _mm_set1_epi32(0x00400000));
    const __m128i is_nan = _mm_castps_si128(_mm_cmpunord_ps(value, value));
    StoreLowHalves(_mm_srli_epi32(_mm_blendv_epi8(rounded, quiet, is_nan), 16), p);
  }
  float Sum() const {
    const __m128 pairs = _mm_add_ps(value, _mm_movehl_ps(value, value));
    return _mm_cvtss_f32(_mm_add_ss(pairs, _mm_shuffle_ps(pairs, pairs, 1)));
  }

 private:
  static const __m128i* AsVector(const void* p) {
    return static_cast<const __m128i*>(p);
  }
  static __m128i Bytes(const uint8_t* p) {
    int32_t four;
    __builtin_memcpy(&four, p, 4);
    return _mm_cvtepu8_epi32(_mm_cvtsi32_si128(four));
  }
  // The low 16 bits of each lane, whose high bits are zeros.
  static void StoreLowHalves(__m128i lanes, void* p) {
    _mm_storel_epi64(static_cast<__m128i*>(p), _mm_packus_epi32(lanes, lanes));
  }
};

}  // namespace stepwell::kernels::baseline

#pragma GCC push_options
#pragma GCC target("avx2,fma")
namespace stepwell::kernels::avx2 {

struct Vec {
  static constexpr int64_t kLanes = 8;
  __m256 value;

  static __m256i FirstMask(int64_t n) {
    alignas(64) static constexpr int32_t kMask[16] = {-1, -1, -1, -1, -1, -1, -1, -1,
                                                      0,  0,  0,  0,  0,  0,  0,  0};
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kMask + 8 - n));
  }
  static Vec Zero() { return {_mm256_setzero_ps()}; }
  static Vec Fill(float x) { return {_mm256_set1_ps(x)}; }
  static Vec Load(const float* p) { return {_mm256_loadu_ps(p)}; }
  static Vec LoadFirst(const float* p, int64_t n) {
    return {_mm256_maskload_ps(p, FirstMask(n))};
  }
  void Store(float* p) const { _mm256_storeu_ps(p, value); }
  void StoreFirst(float* p, int64_t n) const {
    _mm256_maskstore_ps(p, FirstMask(n), value);
  }
  static Vec Add(Vec a, Vec b) { return {_mm256_add_ps(a.value, b.value)}; }
  static Vec Mul(Vec a, Vec b) { return {_mm256_mul_ps(a.value, b.value)}; }
  static Vec MulAdd(Vec a, Vec b, Vec c) {
    return {_mm256_fmadd_ps(a.value, b.value, c.value)};
  }
  // Through halves: the set does not say that F16C is there.
  static Vec LoadFloat16(const void* p) {
    return {_mm256_set_m128(
        baseline::Vec::LoadFloat16(static_cast<const uint8_t*>(p) + 8).value,
        baseline::Vec::LoadFloat16(p).value)};
  }
  static Vec LoadBfloat16(const void* p) {
    const __m256i bits =
        _mm256_cvtepu16_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p)));
    return {_mm256_castsi256_ps(_mm256_slli_epi32(bits, 16))};
  }
  static Vec LoadBytes(const uint8_t* p) { return {_mm256_cvtepi32_ps(Bytes(p))}; }
  static void LoadNibbles(const uint8_t* p, Vec& low, Vec& high) {
    const __m256i bytes = Bytes(p);
    low = {_mm256_cvtepi32_ps(_mm256_and_si256(bytes, _mm256_set1_epi32(15)))};
    high = {_mm256_cvtepi32_ps(_mm256_srli_epi32(bytes, 4))};
  }
  static void Interleave(Vec& a, Vec& b) {
    const __m256 low = _mm256_unpacklo_ps(a.value, b.value);
    const __m256 high = _mm256_unpackhi_ps(a.value, b.value);
    a = {_mm256_permute2f128_ps(low, high, 0x20)};
    b = {_mm256_permute2f128_ps(low, high, 0x31)};
  }
  void StoreFloat16(void* p) const {
    baseline::Vec{_mm256_castps256_ps128(value)}.StoreFloat16(p);
    baseline::Vec{_mm256_extractf128_ps(value, 1)}.StoreFloat16(
        static_cast<uint8_t*>(p) + 8);
  }
  void StoreBfloat16(void* p) const {
    baseline::Vec{_mm256_castps256_ps128(value)}.StoreBfloat16(p);
    baseline::Vec{_mm256_extractf128_ps(value, 1)}.StoreBfloat16(
        static_cast<uint8_t*>(p) + 8);
  }
  float Sum() const {
    const __m128 half =
        _mm_add_ps(_mm256_castps256_ps128(value), _mm256_extractf128_ps(value, 1));
    return baseline::Vec{half}.Sum();
  }

 private:
  static __m256i Bytes(const uint8_t* p) {
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
  }
};

}  // namespace stepwell::kernels::avx2
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")
namespace stepwell::kernels::avx512 {

struct Vec {
  static constexpr int64_t kLanes = 16;
  __m512 value;

  static __mmask16 FirstMask(int64_t n) {
    return static_cast<__mmask16>((1u << n) - 1u);
  }
  static Vec Zero() { return {_mm512_setzero_ps()}; }
  static Vec Fill(float x) { return {_mm512_set1_ps(x)}; }
  static Vec Load(const float* p) { return {_mm512_loadu_ps(p)}; }
  static Vec LoadFirst(const float* p, int64_t n) {
    return {_mm512_maskz_loadu_ps(FirstMask(n), p)};
  }
  void Store(float* p) const { _mm512_storeu_ps(p, value); }
  void StoreFirst(float* p, int64_t n) const {
    _mm512_mask_storeu_ps(p, FirstMask(n), value);
  }
  static Vec Add(Vec a, Vec b) { return {_mm512_add_ps(a.value, b.value)}; }
  static Vec Mul(Vec a, Vec b) { return {_mm512_mul_ps(a.value, b.value)}; }
  static Vec MulAdd(Vec a, Vec b, Vec c) {
    return {_mm512_fmadd_ps(a.value, b.value, c.value)};
  }
  // Masked forms below for the reason given at Sum.
  static Vec LoadFloat16(const void* p) {
    return {_mm512_maskz_cvtph_ps(0xFFFF, Halves(p))};
  }
  static Vec LoadBfloat16(const void* p) {
    const __m512i bits = _mm512_maskz_cvtepu16_epi32(0xFFFF, Halves(p));
    return {_mm512_castsi512_ps(_mm512_maskz_slli_epi32(0xFFFF, bits, 16))};
  }
  static Vec LoadBytes(const uint8_t* p) {
    return {_mm512_maskz_cvtepi32_ps(0xFFFF, Bytes(p))};
  }
  static void LoadNibbles(const uint8_t* p, Vec& low, Vec& high) {
    const __m512i bytes = Bytes(p);
    low = {_mm512_maskz_cvtepi32_ps(0xFFFF,
                                    _mm512_and_si512(bytes, _mm512_set1_epi32(15)))};
    high = {
        _mm512_maskz_cvtepi32_ps(0xFFFF, _mm512_maskz_srli_epi32(0xFFFF, bytes, 4))};
  }
  static void Interleave(Vec& a, Vec& b) {
    const __m512i first =
        _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const __m512i second =
        _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    const __m512 low = _mm512_permutex2var_ps(a.value, first, b.value);
    b = {_mm512_permutex2var_ps(a.value, second, b.value)};
    a = {low};
  }
  void StoreFloat16(void* p) const {
    constexpr int kToNearestEven = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
    _mm256_storeu_si256(static_cast<__m256i*>(p),
                        _mm512_maskz_cvtps_ph(0xFFFF, value, kToNearestEven));
  }
  void StoreBfloat16(void* p) const {
    const __m512i bits = _mm512_castps_si512(value);
    const __m512i odd = _mm512_and_si512(_mm512_maskz_srli_epi32(0xFFFF, bits, 16),
                                         _mm512_set1_epi32(1));
    const __m512i rounded =
        _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7FFF)), odd);
    const __m512i quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x00400000));
    const __mmask16 is_nan = _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);
    const __m512i found = _mm512_maskz_srli_epi32(
        0xFFFF, _mm512_mask_blend_epi32(is_nan, rounded, quiet), 16);
    _mm256_storeu_si256(static_cast<__m256i*>(p),
                        _mm512_maskz_cvtepi32_epi16(0xFFFF, found));
  }
  // Not _mm512_reduce_add_ps: GCC 12 warns inside its own header.
  float Sum() const {
    const __m256 low = _mm512_maskz_extractf32x8_ps(0xFF, value, 0);
    const __m256 high = _mm512_maskz_extractf32x8_ps(0xFF, value, 1);
    return avx2::Vec{_mm256_add_ps(low, high)}.Sum();
  }

 private:
  static __m256i Halves(const void* p) {
    return _mm256_loadu_si256(static_cast<const __m256i*>(p));
  }
  static __m512i Bytes(const uint8_t* p) {
    return _mm512_maskz_cvtepu8_epi32(
        0xFFFF, _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
};

}  // namespace stepwell::kernels::avx512
#pragma GCC pop_options

#endif  // CC_KERNELS_SIMD_VEC_H_
