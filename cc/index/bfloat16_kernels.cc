// Kernels of bfloat16 codes. Rows and queries are bfloat16, zeros behind the last.
#include <cstdint>
#include <cstring>
#include <vector>

#include "cc/index/code_kernels.h"
#include "cc/index/code_sums.h"

namespace stepwell::index {
namespace {

namespace scalar {

template <bool kL2>
class Distance {
 public:
  Distance(const CodeShape& shape, const char* query)
      : size_(shape.row_bytes / sizeof(uint16_t)), query_(query) {}

  float One(const char* row) const {
    float sum = 0;
    for (size_t i = 0; i < size_; ++i) {
      const float q = At(query_, i), x = At(row, i);
      sum += kL2 ? (q - x) * (q - x) : q * x;
    }
    return kL2 ? sum : -sum;
  }

  void Quad(const char* const rows[4], float* out) const {
    for (int i = 0; i < 4; ++i) out[i] = One(rows[i]);
  }

  static float Pair(const CodeShape& shape, const char* a, const char* b) {
    return Distance(shape, a).One(b);
  }

 private:
  static float At(const char* numbers, size_t i) {
    const uint32_t bits =
        static_cast<uint32_t>(reinterpret_cast<const uint16_t*>(numbers)[i]) << 16;
    float value;
    std::memcpy(&value, &bits, sizeof(value));
    return value;
  }

  const size_t size_;
  const char* const query_;
};

#include "cc/index/code_kernels_body.h"

}  // namespace scalar

// Clang compiles the fuzzers alone, and does not know these pragmas.
#ifndef __clang__

#pragma GCC push_options
#pragma GCC target("avx2,fma")
namespace avx2 {

template <bool kL2>
class Distance {
 public:
  Distance(const CodeShape& shape, const char* query)
      : bytes_(shape.row_bytes), query_(query) {}

  STEPWELL_INLINE float One(const char* row) const {
    __m256 sum = _mm256_setzero_ps();
    const __m256 none = sum;
    for (size_t at = 0; at < bytes_; at += 16) {
      sum = Add(sum, Eight(query_ + at), Eight(row + at));
    }
    return _mm_cvtss_f32(Signed(SumsOf(sum, none, none, none)));
  }

  STEPWELL_INLINE void Quad(const char* const rows[4], float* out) const {
    __m256 sums[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(),
                      _mm256_setzero_ps()};
    for (size_t at = 0; at < bytes_; at += 16) {
      const __m256 query = Eight(query_ + at);
      sums[0] = Add(sums[0], query, Eight(rows[0] + at));
      sums[1] = Add(sums[1], query, Eight(rows[1] + at));
      sums[2] = Add(sums[2], query, Eight(rows[2] + at));
      sums[3] = Add(sums[3], query, Eight(rows[3] + at));
    }
    _mm_storeu_ps(out, Signed(SumsOf(sums[0], sums[1], sums[2], sums[3])));
  }

  static float Pair(const CodeShape& shape, const char* a, const char* b) {
    return Distance(shape, a).One(b);
  }

 private:
  // A bfloat16 is the upper half of its float.
  STEPWELL_INLINE static __m256 Eight(const char* numbers) {
    const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(numbers));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
  }

  STEPWELL_INLINE static __m256 Add(__m256 sum, __m256 query, __m256 row) {
    if (!kL2) return _mm256_fmadd_ps(query, row, sum);
    const __m256 rest = _mm256_sub_ps(query, row);
    return _mm256_fmadd_ps(rest, rest, sum);
  }

  STEPWELL_INLINE static __m128 Signed(__m128 sums) {
    return kL2 ? sums : _mm_sub_ps(_mm_setzero_ps(), sums);
  }

  const size_t bytes_;
  const char* const query_;
};

#include "cc/index/code_kernels_body.h"

}  // namespace avx2
#pragma GCC pop_options

// What the two AVX-512 families differ in is how a register of 32 pairs is added.
#pragma GCC push_options
#pragma GCC target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")
namespace avx512 {

template <bool kL2>
struct Adder {
  // The odd numbers are floats once the even ones below them are masked away.
  STEPWELL_INLINE static __m512 Add(__m512 sum, __m512i query, __m512i row) {
    return AddFloats(AddFloats(sum, Even(query), Even(row)), Odd(query), Odd(row));
  }

 private:
  STEPWELL_INLINE static __m512 Even(__m512i pairs) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16));
  }
  STEPWELL_INLINE static __m512 Odd(__m512i pairs) {
    const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xFFFF0000));
    return _mm512_castsi512_ps(_mm512_and_si512(pairs, upper));
  }
  STEPWELL_INLINE static __m512 AddFloats(__m512 sum, __m512 query, __m512 row) {
    if (!kL2) return _mm512_fmadd_ps(query, row, sum);
    const __m512 rest = _mm512_sub_ps(query, row);
    return _mm512_fmadd_ps(rest, rest, sum);
  }
};

#include "cc/index/bfloat16_avx512_body.h"
#include "cc/index/code_kernels_body.h"

}  // namespace avx512
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx512bf16,avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")
namespace avx512_bf16 {

// Inner products only: a difference of bfloat16 is not one.
template <bool kL2>
struct Adder {
  STEPWELL_INLINE static __m512 Add(__m512 sum, __m512i query, __m512i row) {
    return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(query),
                            reinterpret_cast<__m512bh>(row));
  }
};

#include "cc/index/bfloat16_avx512_body.h"
#include "cc/index/code_kernels_body.h"

}  // namespace avx512_bf16
#pragma GCC pop_options

#endif

template <bool kL2>
std::vector<CodeKernel> Runnable() {
  std::vector<CodeKernel> kernels = {scalar::KernelOf<scalar::Distance<kL2>>("scalar")};
#ifndef __clang__
  if (!HasAvx2()) return kernels;
  kernels.push_back(avx2::KernelOf<avx2::Distance<kL2>>("avx2"));
  if (!HasAvx512()) return kernels;
  kernels.push_back(avx512::KernelOf<avx512::Distance<kL2>>("avx512"));
  if (kL2 || !__builtin_cpu_supports("avx512bf16")) return kernels;
  using Bfloat16Dots = avx512_bf16::Distance<false>;
  kernels.push_back(avx512_bf16::KernelOf<Bfloat16Dots>("avx512_bf16"));
#endif
  return kernels;
}

}  // namespace

absl::Span<const CodeKernel> Bfloat16Kernels(Metric metric) {
  static const std::vector<CodeKernel> kDot = Runnable<false>();
  static const std::vector<CodeKernel> kL2 = Runnable<true>();
  return metric == Metric::kL2 ? kL2 : kDot;
}

}  // namespace stepwell::index
