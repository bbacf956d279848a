// Kernels of int8 codes. Rows are bytes of number + 128, behind the last coordinate
// 128; queries are an Int8QueryHead and signed bytes. Sums of products are exact, so
// that every instruction set gives the same bits.
#include <cstdint>
#include <vector>

#include "cc/index/code_kernels.h"
#include "cc/index/code_sums.h"
#include "cc/index/int8_finish.h"

namespace stepwell::index {
namespace {

namespace scalar {

template <bool kL2>
class Distance {
 public:
  Distance(const CodeShape& shape, const char* query)
      : bytes_(shape.row_bytes), numbers_(NumbersOf(query)), finish_(shape, query) {}

  float One(const char* row) const {
    int32_t sum = 0;
    for (size_t i = 0; i < bytes_; ++i) {
      sum += static_cast<uint8_t>(row[i]) * static_cast<int8_t>(numbers_[i]);
    }
    return finish_.One(sum, row);
  }

  void Quad(const char* const rows[4], float* out) const {
    for (int i = 0; i < 4; ++i) out[i] = One(rows[i]);
  }

  static float Pair(const CodeShape& shape, const char* a, const char* b) {
    int32_t sum = 0;
    for (size_t i = 0; i < shape.row_bytes; ++i) {
      sum += (static_cast<uint8_t>(a[i]) - 128) * (static_cast<uint8_t>(b[i]) - 128);
    }
    return Finish<kL2>::Pair(shape, a, b, sum);
  }

 private:
  const size_t bytes_;
  const char* const numbers_;
  const Finish<kL2> finish_;
};

#include "cc/index/code_kernels_body.h"

}  // namespace scalar

// Clang compiles the fuzzers alone, and does not know these pragmas.
#ifndef __clang__

#pragma GCC push_options
#pragma GCC target("avx2,fma")
namespace avx2 {

// Products of bytes do not fit in 16 bits, so bytes become words first.
template <bool kL2>
class Distance {
 public:
  Distance(const CodeShape& shape, const char* query)
      : bytes_(shape.row_bytes), numbers_(NumbersOf(query)), finish_(shape, query) {}

  STEPWELL_INLINE float One(const char* row) const {
    __m256i sum = _mm256_setzero_si256();
    for (size_t at = 0; at < bytes_; at += 16) {
      sum = Add(sum, Signed(numbers_ + at), Unsigned(row + at));
    }
    return finish_.One(SumOf(sum), row);
  }

  STEPWELL_INLINE void Quad(const char* const rows[4], float* out) const {
    __m256i sums[4] = {_mm256_setzero_si256(), _mm256_setzero_si256(),
                       _mm256_setzero_si256(), _mm256_setzero_si256()};
    for (size_t at = 0; at < bytes_; at += 16) {
      const __m256i query = Signed(numbers_ + at);
      sums[0] = Add(sums[0], query, Unsigned(rows[0] + at));
      sums[1] = Add(sums[1], query, Unsigned(rows[1] + at));
      sums[2] = Add(sums[2], query, Unsigned(rows[2] + at));
      sums[3] = Add(sums[3], query, Unsigned(rows[3] + at));
    }
    finish_.Quad(SumsOf(sums[0], sums[1], sums[2], sums[3]), rows, out);
  }

  static float Pair(const CodeShape& shape, const char* a, const char* b) {
    const __m256i zero = _mm256_set1_epi16(128);
    __m256i sum = _mm256_setzero_si256();
    for (size_t at = 0; at < shape.row_bytes; at += 16) {
      sum = Add(sum, _mm256_sub_epi16(Unsigned(a + at), zero),
                _mm256_sub_epi16(Unsigned(b + at), zero));
    }
    return Finish<kL2>::Pair(shape, a, b, SumOf(sum));
  }

 private:
  STEPWELL_INLINE static __m128i Sixteen(const char* bytes) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes));
  }
  STEPWELL_INLINE static __m256i Signed(const char* bytes) {
    return _mm256_cvtepi8_epi16(Sixteen(bytes));
  }
  STEPWELL_INLINE static __m256i Unsigned(const char* bytes) {
    return _mm256_cvtepu8_epi16(Sixteen(bytes));
  }
  STEPWELL_INLINE static __m256i Add(__m256i sum, __m256i query, __m256i row) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(query, row));
  }
  STEPWELL_INLINE static int32_t SumOf(__m256i sum) {
    return _mm_cvtsi128_si32(SumsOf(sum, sum, sum, sum));
  }

  const size_t bytes_;
  const char* const numbers_;
  const Finish<kL2> finish_;
};

#include "cc/index/code_kernels_body.h"

}  // namespace avx2
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avxvnni,avx2,fma")
namespace avx_vnni {

template <bool kL2>
class Distance {
 public:
  Distance(const CodeShape& shape, const char* query)
      : whole_(shape.row_bytes / 32 * 32),
        has_tail_(shape.row_bytes % 32 != 0),
        numbers_(NumbersOf(query)),
        finish_(shape, query) {}

  STEPWELL_INLINE float One(const char* row) const {
    __m256i sum = _mm256_setzero_si256();
    for (size_t at = 0; at < whole_; at += 32) {
      sum = _mm256_dpbusd_avx_epi32(sum, All(row + at), All(numbers_ + at));
    }
    if (has_tail_) {
      sum = _mm256_dpbusd_avx_epi32(sum, Half(row + whole_), Half(numbers_ + whole_));
    }
    return finish_.One(SumOf(sum), row);
  }

  STEPWELL_INLINE void Quad(const char* const rows[4], float* out) const {
    __m256i sums[4] = {_mm256_setzero_si256(), _mm256_setzero_si256(),
                       _mm256_setzero_si256(), _mm256_setzero_si256()};
    for (size_t at = 0; at < whole_; at += 32) {
      const __m256i query = All(numbers_ + at);
      sums[0] = _mm256_dpbusd_avx_epi32(sums[0], All(rows[0] + at), query);
      sums[1] = _mm256_dpbusd_avx_epi32(sums[1], All(rows[1] + at), query);
      sums[2] = _mm256_dpbusd_avx_epi32(sums[2], All(rows[2] + at), query);
      sums[3] = _mm256_dpbusd_avx_epi32(sums[3], All(rows[3] + at), query);
    }
    if (has_tail_) {
      const __m256i query = Half(numbers_ + whole_);
      sums[0] = _mm256_dpbusd_avx_epi32(sums[0], Half(rows[0] + whole_), query);
      sums[1] = _mm256_dpbusd_avx_epi32(sums[1], Half(rows[1] + whole_), query);
      sums[2] = _mm256_dpbusd_avx_epi32(sums[2], Half(rows[2] + whole_), query);
      sums[3] = _mm256_dpbusd_avx_epi32(sums[3], Half(rows[3] + whole_), query);
    }
    finish_.Quad(SumsOf(sums[0], sums[1], sums[2], sums[3]), rows, out);
  }

  // (a - 128) b = a b - 128 b, with a unsigned and b made signed by its upper bit.
  static float Pair(const CodeShape& shape, const char* a, const char* b) {
    const __m256i zero = _mm256_set1_epi8(static_cast<char>(128));
    __m256i sum = _mm256_setzero_si256(), bias = sum;
    size_t at = 0;
    for (; at + 32 <= shape.row_bytes; at += 32) {
      const __m256i numbers = _mm256_xor_si256(All(b + at), zero);
      sum = _mm256_dpbusd_avx_epi32(sum, All(a + at), numbers);
      bias = _mm256_dpbusd_avx_epi32(bias, zero, numbers);
    }
    if (at < shape.row_bytes) {
      const __m256i half = _mm256_zextsi128_si256(_mm256_castsi256_si128(zero));
      const __m256i numbers = _mm256_xor_si256(Half(b + at), half);
      sum = _mm256_dpbusd_avx_epi32(sum, Half(a + at), numbers);
      bias = _mm256_dpbusd_avx_epi32(bias, zero, numbers);
    }
    return Finish<kL2>::Pair(shape, a, b, SumOf(_mm256_sub_epi32(sum, bias)));
  }

 private:
  STEPWELL_INLINE static __m256i All(const char* bytes) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes));
  }
  STEPWELL_INLINE static __m256i Half(const char* bytes) {
    return _mm256_zextsi128_si256(
        _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes)));
  }
  STEPWELL_INLINE static int32_t SumOf(__m256i sum) {
    return _mm_cvtsi128_si32(SumsOf(sum, sum, sum, sum));
  }

  const size_t whole_;
  const bool has_tail_;
  const char* const numbers_;
  const Finish<kL2> finish_;
};

#include "cc/index/code_kernels_body.h"

}  // namespace avx_vnni
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx512vnni,avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")
namespace avx512 {

template <bool kL2>
class Distance {
 public:
  Distance(const CodeShape& shape, const char* query)
      : whole_(shape.row_bytes / 64 * 64),
        tail_(TailOf(shape)),
        numbers_(NumbersOf(query)),
        finish_(shape, query) {}

  STEPWELL_INLINE float One(const char* row) const {
    __m512i sum = _mm512_setzero_si512();
    for (size_t at = 0; at < whole_; at += 64) {
      sum = _mm512_dpbusd_epi32(sum, _mm512_loadu_si512(row + at),
                                _mm512_loadu_si512(numbers_ + at));
    }
    if (tail_ != 0) {
      sum = _mm512_dpbusd_epi32(sum, Tail(row), _mm512_loadu_si512(numbers_ + whole_));
    }
    return finish_.One(SumOf(sum), row);
  }

  STEPWELL_INLINE void Quad(const char* const rows[4], float* out) const {
    __m512i sums[4] = {_mm512_setzero_si512(), _mm512_setzero_si512(),
                       _mm512_setzero_si512(), _mm512_setzero_si512()};
    for (size_t at = 0; at < whole_; at += 64) {
      const __m512i query = _mm512_loadu_si512(numbers_ + at);
      sums[0] = _mm512_dpbusd_epi32(sums[0], _mm512_loadu_si512(rows[0] + at), query);
      sums[1] = _mm512_dpbusd_epi32(sums[1], _mm512_loadu_si512(rows[1] + at), query);
      sums[2] = _mm512_dpbusd_epi32(sums[2], _mm512_loadu_si512(rows[2] + at), query);
      sums[3] = _mm512_dpbusd_epi32(sums[3], _mm512_loadu_si512(rows[3] + at), query);
    }
    if (tail_ != 0) {
      const __m512i query = _mm512_loadu_si512(numbers_ + whole_);
      sums[0] = _mm512_dpbusd_epi32(sums[0], Tail(rows[0]), query);
      sums[1] = _mm512_dpbusd_epi32(sums[1], Tail(rows[1]), query);
      sums[2] = _mm512_dpbusd_epi32(sums[2], Tail(rows[2]), query);
      sums[3] = _mm512_dpbusd_epi32(sums[3], Tail(rows[3]), query);
    }
    finish_.Quad(
        SumsOf(HalfOf(sums[0]), HalfOf(sums[1]), HalfOf(sums[2]), HalfOf(sums[3])),
        rows, out);
  }

  // (a - 128) b = a b - 128 b, with a unsigned and b made signed by its upper bit.
  static float Pair(const CodeShape& shape, const char* a, const char* b) {
    const __m512i zero = _mm512_set1_epi8(static_cast<char>(128));
    __m512i sum = _mm512_setzero_si512(), bias = sum;
    size_t at = 0;
    for (; at + 64 <= shape.row_bytes; at += 64) {
      const __m512i numbers = _mm512_xor_si512(_mm512_loadu_si512(b + at), zero);
      sum = _mm512_dpbusd_epi32(sum, _mm512_loadu_si512(a + at), numbers);
      bias = _mm512_dpbusd_epi32(bias, zero, numbers);
    }
    if (const __mmask16 tail = TailOf(shape); tail != 0) {
      const __m512i numbers =
          _mm512_maskz_xor_epi32(tail, _mm512_maskz_loadu_epi32(tail, b + at), zero);
      sum = _mm512_dpbusd_epi32(sum, _mm512_maskz_loadu_epi32(tail, a + at), numbers);
      bias = _mm512_dpbusd_epi32(bias, zero, numbers);
    }
    return Finish<kL2>::Pair(shape, a, b, SumOf(_mm512_sub_epi32(sum, bias)));
  }

 private:
  STEPWELL_INLINE static __mmask16 TailOf(const CodeShape& shape) {
    return static_cast<__mmask16>((1u << (shape.row_bytes % 64 / 4)) - 1);
  }
  STEPWELL_INLINE __m512i Tail(const char* row) const {
    return _mm512_maskz_loadu_epi32(tail_, row + whole_);
  }
  STEPWELL_INLINE static int32_t SumOf(__m512i sum) {
    const __m256i half = HalfOf(sum);
    return _mm_cvtsi128_si32(SumsOf(half, half, half, half));
  }

  const size_t whole_;
  const __mmask16 tail_;
  const char* const numbers_;
  const Finish<kL2> finish_;
};

#include "cc/index/code_kernels_body.h"

}  // namespace avx512
#pragma GCC pop_options

#endif

template <bool kL2>
std::vector<CodeKernel> Runnable() {
  std::vector<CodeKernel> kernels = {scalar::KernelOf<scalar::Distance<kL2>>("scalar")};
#ifndef __clang__
  if (!HasAvx2()) return kernels;
  kernels.push_back(avx2::KernelOf<avx2::Distance<kL2>>("avx2"));
  if (__builtin_cpu_supports("avxvnni")) {
    kernels.push_back(avx_vnni::KernelOf<avx_vnni::Distance<kL2>>("avx_vnni"));
  }
  if (HasAvx512() && __builtin_cpu_supports("avx512vnni")) {
    kernels.push_back(avx512::KernelOf<avx512::Distance<kL2>>("avx512"));
  }
#endif
  return kernels;
}

}  // namespace

absl::Span<const CodeKernel> Int8Kernels(Metric metric) {
  static const std::vector<CodeKernel> kDot = Runnable<false>();
  static const std::vector<CodeKernel> kL2 = Runnable<true>();
  return metric == Metric::kL2 ? kL2 : kDot;
}

}  // namespace stepwell::index
