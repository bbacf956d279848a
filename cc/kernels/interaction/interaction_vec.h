#ifndef CC_KERNELS_INTERACTION_INTERACTION_VEC_H_
#define CC_KERNELS_INTERACTION_INTERACTION_VEC_H_

#include <immintrin.h>

#include <cstdint>

#include "cc/kernels/interaction/interaction.h"
#include "cc/kernels/simd/vec.h"

// What the interaction kernels need of a register besides simd/vec.h, for each
// instruction set:
//
//   Lanes::Transpose     kLanes registers as a square matrix
//   Lanes::FillQuads     the same four floats in every quad, four lanes of a register
//   Lanes::TransposeQuads  as many registers as one has quads, as a square matrix of
//                        quads
//   Lanes::AddPairs, AddHalves   the sums of quads: of AddHalves(AddPairs(a, b),
//                        AddPairs(c, d)), those of a come first, in order
//   Lanes::Load / Store  the first `count` elements, or kLanes if that is less; memory
//                        past them is not touched, lanes past them are zero. bfloat16
//                        elements are floats while in a register
//   Products             one step of a dot product in each lane: kPerLane elements of
//                        each side, packed into the 32 bits of the lane. Load() takes
//                        the first `count`, or a register of them if that is less

namespace stepwell::kernels::baseline {

struct Lanes {
  static void Transpose(Vec* rows) {
    _MM_TRANSPOSE4_PS(rows[0].value, rows[1].value, rows[2].value, rows[3].value);
  }

  static Vec Load(const float* p, int64_t count) {
    if (count >= Vec::kLanes) return Vec::Load(p);
    return count > 0 ? Vec::LoadFirst(p, count) : Vec::Zero();
  }

  static void Store(Vec vec, float* p, int64_t count) {
    if (count >= Vec::kLanes) {
      vec.Store(p);
    } else if (count > 0) {
      vec.StoreFirst(p, count);
    }
  }

  static Vec Load(const Bfloat16* p, int64_t count) {
    if (count >= Vec::kLanes) return Vec::LoadBfloat16(p);
    Bfloat16 lanes[Vec::kLanes] = {};
    for (int64_t lane = 0; lane < count; ++lane) lanes[lane] = p[lane];
    return Vec::LoadBfloat16(lanes);
  }

  static void Store(Vec vec, Bfloat16* p, int64_t count) {
    if (count >= Vec::kLanes) return vec.StoreBfloat16(p);
    if (count <= 0) return;
    Bfloat16 lanes[Vec::kLanes];
    vec.StoreBfloat16(lanes);
    for (int64_t lane = 0; lane < count; ++lane) p[lane] = lanes[lane];
  }

  static Vec FillQuads(const float* p) { return Vec::Load(p); }
  static void TransposeQuads(Vec*) {}
  static Vec AddPairs(Vec a, Vec b) {
    return {_mm_add_ps(_mm_unpacklo_ps(a.value, b.value),
                       _mm_unpackhi_ps(a.value, b.value))};
  }
  static Vec AddHalves(Vec a, Vec b) {
    return {
        _mm_add_ps(_mm_movelh_ps(a.value, b.value), _mm_movehl_ps(b.value, a.value))};
  }
};

struct Products {
  static constexpr int64_t kPerLane = 1;
  template <typename Element>
  static Vec Load(const Element* p, int64_t count) {
    return Lanes::Load(p, count);
  }
  static Vec Add(Vec left, Vec right, Vec sum) { return Vec::MulAdd(left, right, sum); }
};

}  // namespace stepwell::kernels::baseline

#pragma GCC push_options
#pragma GCC target("avx2,fma")
namespace stepwell::kernels::avx2 {

struct Lanes {
  static void Transpose(Vec* rows) {
    __m256
        fours[8];  // [4 * g + c]: component c, in the high half c + 4, of rows 4 g ...
    for (int g = 0; g < 8; g += 4) {
      const __m256 a = _mm256_unpacklo_ps(rows[g].value, rows[g + 1].value);
      const __m256 b = _mm256_unpackhi_ps(rows[g].value, rows[g + 1].value);
      const __m256 c = _mm256_unpacklo_ps(rows[g + 2].value, rows[g + 3].value);
      const __m256 d = _mm256_unpackhi_ps(rows[g + 2].value, rows[g + 3].value);
      fours[g] = _mm256_shuffle_ps(a, c, 0x44);
      fours[g + 1] = _mm256_shuffle_ps(a, c, 0xEE);
      fours[g + 2] = _mm256_shuffle_ps(b, d, 0x44);
      fours[g + 3] = _mm256_shuffle_ps(b, d, 0xEE);
    }
    for (int c = 0; c < 4; ++c) {
      rows[c] = {_mm256_permute2f128_ps(fours[c], fours[4 + c], 0x20)};
      rows[4 + c] = {_mm256_permute2f128_ps(fours[c], fours[4 + c], 0x31)};
    }
  }

  static Vec Load(const float* p, int64_t count) {
    if (count >= Vec::kLanes) return Vec::Load(p);
    return count > 0 ? Vec::LoadFirst(p, count) : Vec::Zero();
  }

  static void Store(Vec vec, float* p, int64_t count) {
    if (count >= Vec::kLanes) {
      vec.Store(p);
    } else if (count > 0) {
      vec.StoreFirst(p, count);
    }
  }

  static Vec Load(const Bfloat16* p, int64_t count) {
    if (count >= Vec::kLanes) return Vec::LoadBfloat16(p);
    Bfloat16 lanes[Vec::kLanes] = {};
    for (int64_t lane = 0; lane < count; ++lane) lanes[lane] = p[lane];
    return Vec::LoadBfloat16(lanes);
  }

  static void Store(Vec vec, Bfloat16* p, int64_t count) {
    if (count >= Vec::kLanes) return vec.StoreBfloat16(p);
    if (count <= 0) return;
    Bfloat16 lanes[Vec::kLanes];
    vec.StoreBfloat16(lanes);
    for (int64_t lane = 0; lane < count; ++lane) p[lane] = lanes[lane];
  }

  static Vec FillQuads(const float* p) {
    return {_mm256_broadcast_ps(reinterpret_cast<const __m128*>(p))};
  }
  static void TransposeQuads(Vec* rows) {
    const __m256 a = rows[0].value, b = rows[1].value;
    rows[0] = {_mm256_permute2f128_ps(a, b, 0x20)};
    rows[1] = {_mm256_permute2f128_ps(a, b, 0x31)};
  }
  static Vec AddPairs(Vec a, Vec b) {
    return {_mm256_add_ps(_mm256_unpacklo_ps(a.value, b.value),
                          _mm256_unpackhi_ps(a.value, b.value))};
  }
  static Vec AddHalves(Vec a, Vec b) {
    const __m256 sums = _mm256_add_ps(_mm256_shuffle_ps(a.value, b.value, 0x44),
                                      _mm256_shuffle_ps(a.value, b.value, 0xEE));
    return {_mm256_permutevar8x32_ps(sums, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7))};
  }
};

struct Products {
  static constexpr int64_t kPerLane = 1;
  template <typename Element>
  static Vec Load(const Element* p, int64_t count) {
    return Lanes::Load(p, count);
  }
  static Vec Add(Vec left, Vec right, Vec sum) { return Vec::MulAdd(left, right, sum); }
};

}  // namespace stepwell::kernels::avx2
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")
namespace stepwell::kernels::avx512 {

struct Lanes {
  // The intrinsics are the zero-masking ones with full masks: GCC 12 warns inside its
  // own header about the plain ones.
  static void Transpose(Vec* rows) {
    __m512 fours[16];  // [4 * g + c]: in quarter q, component 4 q + c of rows 4 g ...
    for (int g = 0; g < 16; g += 4) {
      TransposeFour(rows[g].value, rows[g + 1].value, rows[g + 2].value,
                    rows[g + 3].value, fours + g);
    }
    for (int c = 0; c < 4; ++c) {
      Vec quads[4] = {{fours[c]}, {fours[4 + c]}, {fours[8 + c]}, {fours[12 + c]}};
      TransposeQuads(quads);
      for (int q = 0; q < 4; ++q) rows[4 * q + c] = quads[q];
    }
  }

  static __mmask16 FirstLanes(int64_t count) {
    const int64_t from_zero = count > 0 ? count : 0;
    const int64_t lanes = from_zero < Vec::kLanes ? from_zero : Vec::kLanes;
    return static_cast<__mmask16>(0xFFFFu >> (Vec::kLanes - lanes));
  }

  static Vec Load(const float* p, int64_t count) {
    return {_mm512_maskz_loadu_ps(FirstLanes(count), p)};
  }

  static void Store(Vec vec, float* p, int64_t count) {
    _mm512_mask_storeu_ps(p, FirstLanes(count), vec.value);
  }

  static Vec Load(const Bfloat16* p, int64_t count) {
    const __m256i halves = _mm256_maskz_loadu_epi16(FirstLanes(count), p);
    const __m512i wide = _mm512_maskz_cvtepu16_epi32(0xFFFF, halves);
    return {_mm512_castsi512_ps(_mm512_maskz_slli_epi32(0xFFFF, wide, 16))};
  }

  static void Store(Vec vec, Bfloat16* p, int64_t count) {
    if (count >= Vec::kLanes) return vec.StoreBfloat16(p);
    Bfloat16 lanes[Vec::kLanes];
    vec.StoreBfloat16(lanes);
    const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(lanes));
    _mm256_mask_storeu_epi16(p, FirstLanes(count), halves);
  }

  static Vec FillQuads(const float* p) {
    return {_mm512_maskz_broadcast_f32x4(0xFFFF, _mm_loadu_ps(p))};
  }

  static void TransposeQuads(Vec* rows) {
    const __m512 a = rows[0].value, b = rows[1].value;
    const __m512 c = rows[2].value, d = rows[3].value;
    const __m512 even_low = _mm512_maskz_shuffle_f32x4(0xFFFF, a, b, kEven);
    const __m512 even_high = _mm512_maskz_shuffle_f32x4(0xFFFF, c, d, kEven);
    const __m512 odd_low = _mm512_maskz_shuffle_f32x4(0xFFFF, a, b, kOdd);
    const __m512 odd_high = _mm512_maskz_shuffle_f32x4(0xFFFF, c, d, kOdd);
    rows[0] = {_mm512_maskz_shuffle_f32x4(0xFFFF, even_low, even_high, kEven)};
    rows[1] = {_mm512_maskz_shuffle_f32x4(0xFFFF, odd_low, odd_high, kEven)};
    rows[2] = {_mm512_maskz_shuffle_f32x4(0xFFFF, even_low, even_high, kOdd)};
    rows[3] = {_mm512_maskz_shuffle_f32x4(0xFFFF, odd_low, odd_high, kOdd)};
  }

  static Vec AddPairs(Vec a, Vec b) {
    return {_mm512_add_ps(_mm512_maskz_unpacklo_ps(0xFFFF, a.value, b.value),
                          _mm512_maskz_unpackhi_ps(0xFFFF, a.value, b.value))};
  }

  static Vec AddHalves(Vec a, Vec b) {
    const __m512i low =
        _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 16, 20, 24, 28, 17, 21, 25, 29);
    const __m512i high =
        _mm512_setr_epi32(2, 6, 10, 14, 3, 7, 11, 15, 18, 22, 26, 30, 19, 23, 27, 31);
    return {_mm512_add_ps(_mm512_permutex2var_ps(a.value, low, b.value),
                          _mm512_permutex2var_ps(a.value, high, b.value))};
  }

 private:
  static constexpr int kEven = 0x88, kOdd = 0xDD;  // quarters 0 2, or 1 3, of each

  // In each quarter of the registers, a matrix of four by four.
  static void TransposeFour(__m512 r0, __m512 r1, __m512 r2, __m512 r3, __m512* out) {
    const __m512d a = _mm512_castps_pd(_mm512_maskz_unpacklo_ps(0xFFFF, r0, r1));
    const __m512d b = _mm512_castps_pd(_mm512_maskz_unpackhi_ps(0xFFFF, r0, r1));
    const __m512d c = _mm512_castps_pd(_mm512_maskz_unpacklo_ps(0xFFFF, r2, r3));
    const __m512d d = _mm512_castps_pd(_mm512_maskz_unpackhi_ps(0xFFFF, r2, r3));
    out[0] = _mm512_castpd_ps(_mm512_maskz_unpacklo_pd(0xFF, a, c));
    out[1] = _mm512_castpd_ps(_mm512_maskz_unpackhi_pd(0xFF, a, c));
    out[2] = _mm512_castpd_ps(_mm512_maskz_unpacklo_pd(0xFF, b, d));
    out[3] = _mm512_castpd_ps(_mm512_maskz_unpackhi_pd(0xFF, b, d));
  }
};

struct Products {
  static constexpr int64_t kPerLane = 1;
  template <typename Element>
  static Vec Load(const Element* p, int64_t count) {
    return Lanes::Load(p, count);
  }
  static Vec Add(Vec left, Vec right, Vec sum) { return Vec::MulAdd(left, right, sum); }
};

}  // namespace stepwell::kernels::avx512
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx512bf16,avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")
namespace stepwell::kernels::avx512_bfloat16 {

using avx512::Vec;

struct Lanes : avx512::Lanes {
  using avx512::Lanes::Store;
  static void Store(Vec vec, Bfloat16* p, int64_t count) {
    const __m256bh rounded = _mm512_cvtneps_pbh(vec.value);
    _mm256_mask_storeu_epi16(p, FirstLanes(count), (__m256i)rounded);
  }
};

// Two bfloat16 a lane. The processor takes subnormal numbers for zero here.
struct Products {
  static constexpr int64_t kPerLane = 2;
  static Vec Load(const Bfloat16* p, int64_t count) {
    const uint32_t past = count < 32 ? 32 - static_cast<uint32_t>(count) : 0;
    return {_mm512_castsi512_ps(_mm512_maskz_loadu_epi16(0xFFFFFFFFu >> past, p))};
  }
  static Vec Add(Vec left, Vec right, Vec sum) {
    return {_mm512_dpbf16_ps(sum.value, (__m512bh)left.value, (__m512bh)right.value)};
  }
};

}  // namespace stepwell::kernels::avx512_bfloat16
#pragma GCC pop_options

#endif  // CC_KERNELS_INTERACTION_INTERACTION_VEC_H_
