// Kernels of float32 codes. Rows and queries are floats, zeros behind the last.
#include <vector>

#include "cc/index/code_kernels.h"
#include "cc/index/code_sums.h"

namespace stepwell::index {
namespace {

STEPWELL_INLINE const float* Floats(const char* bytes) {
  return reinterpret_cast<const float*>(bytes);
}

namespace scalar {

template <bool kL2>
class Distance {
 public:
  Distance(const CodeShape& shape, const char* query)
      : size_(shape.row_bytes / sizeof(float)), query_(Floats(query)) {}

  float One(const char* row) const {
    const float* x = Floats(row);
    float sum = 0;
    for (size_t i = 0; i < size_; ++i) {
      const float rest = query_[i] - x[i];
      sum += kL2 ? rest * rest : query_[i] * x[i];
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
  const size_t size_;
  const float* const query_;
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
      : size_(shape.row_bytes / sizeof(float)), query_(Floats(query)) {}

  STEPWELL_INLINE float One(const char* row) const {
    const __m256 none = _mm256_setzero_ps();
    return _mm_cvtss_f32(Signed(SumsOf(Parts(row), none, none, none)));
  }

  STEPWELL_INLINE void Quad(const char* const rows[4], float* out) const {
    const float *a = Floats(rows[0]), *b = Floats(rows[1]), *c = Floats(rows[2]),
                *d = Floats(rows[3]);
    __m256 sums[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(),
                      _mm256_setzero_ps()};
    size_t i = 0;
    for (; i + 8 <= size_; i += 8) {
      const __m256 query = _mm256_loadu_ps(query_ + i);
      sums[0] = Add(sums[0], query, _mm256_loadu_ps(a + i));
      sums[1] = Add(sums[1], query, _mm256_loadu_ps(b + i));
      sums[2] = Add(sums[2], query, _mm256_loadu_ps(c + i));
      sums[3] = Add(sums[3], query, _mm256_loadu_ps(d + i));
    }
    if (i < size_) {
      const __m256 query = Half(query_ + i);
      sums[0] = Add(sums[0], query, Half(a + i));
      sums[1] = Add(sums[1], query, Half(b + i));
      sums[2] = Add(sums[2], query, Half(c + i));
      sums[3] = Add(sums[3], query, Half(d + i));
    }
    _mm_storeu_ps(out, Signed(SumsOf(sums[0], sums[1], sums[2], sums[3])));
  }

  static float Pair(const CodeShape& shape, const char* a, const char* b) {
    return Distance(shape, a).One(b);
  }

 private:
  STEPWELL_INLINE static __m256 Add(__m256 sum, __m256 query, __m256 row) {
    if (!kL2) return _mm256_fmadd_ps(query, row, sum);
    const __m256 rest = _mm256_sub_ps(query, row);
    return _mm256_fmadd_ps(rest, rest, sum);
  }

  // Rows are a multiple of four floats long.
  STEPWELL_INLINE static __m256 Half(const float* four) {
    return _mm256_zextps128_ps256(_mm_loadu_ps(four));
  }

  STEPWELL_INLINE static __m128 Signed(__m128 sums) {
    return kL2 ? sums : _mm_sub_ps(_mm_setzero_ps(), sums);
  }

  STEPWELL_INLINE __m256 Parts(const char* row) const {
    const float* x = Floats(row);
    __m256 sum = _mm256_setzero_ps();
    size_t i = 0;
    for (; i + 8 <= size_; i += 8) {
      sum = Add(sum, _mm256_loadu_ps(query_ + i), _mm256_loadu_ps(x + i));
    }
    return i < size_ ? Add(sum, Half(query_ + i), Half(x + i)) : sum;
  }

  const size_t size_;
  const float* const query_;
};

#include "cc/index/code_kernels_body.h"

}  // namespace avx2
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")
namespace avx512 {

template <bool kL2>
class Distance {
 public:
  Distance(const CodeShape& shape, const char* query)
      : whole_(shape.row_bytes / sizeof(float) / 16 * 16),
        tail_(
            static_cast<__mmask16>((1u << (shape.row_bytes / sizeof(float) % 16)) - 1)),
        query_(Floats(query)) {}

  STEPWELL_INLINE float One(const char* row) const {
    const __m256 none = _mm256_setzero_ps();
    return _mm_cvtss_f32(Signed(SumsOf(HalfOf(Parts(row)), none, none, none)));
  }

  STEPWELL_INLINE void Quad(const char* const rows[4], float* out) const {
    const float *a = Floats(rows[0]), *b = Floats(rows[1]), *c = Floats(rows[2]),
                *d = Floats(rows[3]);
    __m512 sums[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(),
                      _mm512_setzero_ps()};
    for (size_t i = 0; i < whole_; i += 16) {
      const __m512 query = _mm512_loadu_ps(query_ + i);
      sums[0] = Add(sums[0], query, _mm512_loadu_ps(a + i));
      sums[1] = Add(sums[1], query, _mm512_loadu_ps(b + i));
      sums[2] = Add(sums[2], query, _mm512_loadu_ps(c + i));
      sums[3] = Add(sums[3], query, _mm512_loadu_ps(d + i));
    }
    if (tail_ != 0) {
      const __m512 query = Tail(query_);
      sums[0] = Add(sums[0], query, Tail(a));
      sums[1] = Add(sums[1], query, Tail(b));
      sums[2] = Add(sums[2], query, Tail(c));
      sums[3] = Add(sums[3], query, Tail(d));
    }
    _mm_storeu_ps(out, Signed(SumsOf(HalfOf(sums[0]), HalfOf(sums[1]), HalfOf(sums[2]),
                                     HalfOf(sums[3]))));
  }

  static float Pair(const CodeShape& shape, const char* a, const char* b) {
    return Distance(shape, a).One(b);
  }

 private:
  STEPWELL_INLINE static __m512 Add(__m512 sum, __m512 query, __m512 row) {
    if (!kL2) return _mm512_fmadd_ps(query, row, sum);
    const __m512 rest = _mm512_sub_ps(query, row);
    return _mm512_fmadd_ps(rest, rest, sum);
  }

  STEPWELL_INLINE __m512 Tail(const float* row) const {
    return _mm512_maskz_loadu_ps(tail_, row + whole_);
  }

  STEPWELL_INLINE static __m128 Signed(__m128 sums) {
    return kL2 ? sums : _mm_sub_ps(_mm_setzero_ps(), sums);
  }

  STEPWELL_INLINE __m512 Parts(const char* row) const {
    const float* x = Floats(row);
    __m512 sum = _mm512_setzero_ps();
    for (size_t i = 0; i < whole_; i += 16) {
      sum = Add(sum, _mm512_loadu_ps(query_ + i), _mm512_loadu_ps(x + i));
    }
    return tail_ != 0 ? Add(sum, Tail(query_), Tail(x)) : sum;
  }

  const size_t whole_;
  const __mmask16 tail_;
  const float* const query_;
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
  if (!HasAvx512()) return kernels;
  kernels.push_back(avx512::KernelOf<avx512::Distance<kL2>>("avx512"));
#endif
  return kernels;
}

}  // namespace

absl::Span<const CodeKernel> Float32Kernels(Metric metric) {
  static const std::vector<CodeKernel> kDot = Runnable<false>();
  static const std::vector<CodeKernel> kL2 = Runnable<true>();
  return metric == Metric::kL2 ? kL2 : kDot;
}

}  // namespace stepwell::index
