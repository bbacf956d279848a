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
//
// A kernel body is a header written once against `Vec` and included once per set, in
// the namespace of that set and between the `#pragma GCC target` of that set (see
// embedding_cpu.cc). Such a body includes no header: what is compiled there may use the
// wide instructions, and a standard function compiled there could be the copy that
// the linker keeps for everyone.

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
  float Sum() const {
    const __m128 pairs = _mm_add_ps(value, _mm_movehl_ps(value, value));
    return _mm_cvtss_f32(_mm_add_ss(pairs, _mm_shuffle_ps(pairs, pairs, 1)));
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
  float Sum() const {
    const __m128 half =
        _mm_add_ps(_mm256_castps256_ps128(value), _mm256_extractf128_ps(value, 1));
    return baseline::Vec{half}.Sum();
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
  // Not _mm512_reduce_add_ps: GCC 12 warns inside its own header.
  float Sum() const {
    const __m256 low = _mm512_maskz_extractf32x8_ps(0xFF, value, 0);
    const __m256 high = _mm512_maskz_extractf32x8_ps(0xFF, value, 1);
    return avx2::Vec{_mm256_add_ps(low, high)}.Sum();
  }
};

}  // namespace stepwell::kernels::avx512
#pragma GCC pop_options

#endif  // CC_KERNELS_SIMD_VEC_H_
