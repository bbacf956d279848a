#include "cc/index/distance.h"

// GCC 12 takes the undefined half of a cast vector in its own headers for a
// mistake.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop

namespace stepwell::index {
namespace {

// The three families repeat one shape on purpose: code of one instruction set
// can be inlined only into functions of the same set, so no template can carry
// all three.
#define STEPWELL_AVX2 __attribute__((target("avx2,fma")))
#define STEPWELL_AVX512 __attribute__((target("avx512f,avx512vl,avx512dq,fma")))
#define STEPWELL_INLINE __attribute__((always_inline)) inline

// Rows this far ahead are fetched while the current one is summed.
constexpr size_t kPrefetchRows = 4;
constexpr size_t kCacheLineBytes = 64;

STEPWELL_INLINE const float* RowAt(RowBlock block, uint32_t row) {
  return reinterpret_cast<const float*>(block.base + row * block.stride_bytes);
}

STEPWELL_INLINE void PrefetchRow(RowBlock block, uint32_t row, size_t dim) {
  const char* start = block.base + row * block.stride_bytes;
  for (size_t at = 0; at < dim * sizeof(float); at += kCacheLineBytes) {
    _mm_prefetch(start + at, _MM_HINT_T0);
  }
}

// ---- scalar

struct ScalarDot {
  static float Of(const float* a, const float* b, size_t dim) {
    float sum = 0;
    for (size_t i = 0; i < dim; ++i) sum += a[i] * b[i];
    return -sum;
  }
};

struct ScalarL2 {
  static float Of(const float* a, const float* b, size_t dim) {
    float sum = 0;
    for (size_t i = 0; i < dim; ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
    return sum;
  }
};

template <typename Distance>
void ScalarGather(const float* query, size_t dim, RowBlock block, const uint32_t* rows,
                  size_t n, float* out) {
  for (size_t i = 0; i < n; ++i) {
    out[i] = Distance::Of(query, RowAt(block, rows[i]), dim);
  }
}

// ---- AVX2

STEPWELL_AVX2 STEPWELL_INLINE float SumAvx2(__m256 sums) {
  const __m128 half =
      _mm_add_ps(_mm256_castps256_ps128(sums), _mm256_extractf128_ps(sums, 1));
  const __m128 quarter = _mm_add_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_add_ss(quarter, _mm_movehdup_ps(quarter)));
}

struct Avx2Dot {
  STEPWELL_AVX2 STEPWELL_INLINE static float Of(const float* a, const float* b,
                                                size_t dim) {
    __m256 even = _mm256_setzero_ps(), odd = _mm256_setzero_ps();
    size_t i = 0;
    for (; i + 16 <= dim; i += 16) {
      even = _mm256_fmadd_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i), even);
      odd =
          _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 8), _mm256_loadu_ps(b + i + 8), odd);
    }
    float sum = SumAvx2(_mm256_add_ps(even, odd));
    for (; i < dim; ++i) sum += a[i] * b[i];
    return -sum;
  }
};

struct Avx2L2 {
  STEPWELL_AVX2 STEPWELL_INLINE static float Of(const float* a, const float* b,
                                                size_t dim) {
    __m256 even = _mm256_setzero_ps(), odd = _mm256_setzero_ps();
    size_t i = 0;
    for (; i + 16 <= dim; i += 16) {
      const __m256 low = _mm256_sub_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i));
      const __m256 high =
          _mm256_sub_ps(_mm256_loadu_ps(a + i + 8), _mm256_loadu_ps(b + i + 8));
      even = _mm256_fmadd_ps(low, low, even);
      odd = _mm256_fmadd_ps(high, high, odd);
    }
    float sum = SumAvx2(_mm256_add_ps(even, odd));
    for (; i < dim; ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
    return sum;
  }
};

template <typename Distance>
STEPWELL_AVX2 void Avx2Gather(const float* query, size_t dim, RowBlock block,
                              const uint32_t* rows, size_t n, float* out) {
  for (size_t i = 0; i < n; ++i) {
    if (i + kPrefetchRows < n) PrefetchRow(block, rows[i + kPrefetchRows], dim);
    out[i] = Distance::Of(query, RowAt(block, rows[i]), dim);
  }
}

// ---- AVX-512: the tail is one masked load, so no length is slow.

STEPWELL_AVX512 STEPWELL_INLINE __mmask16 TailMask(size_t left) {
  return static_cast<__mmask16>((1u << left) - 1);
}

struct Avx512Dot {
  STEPWELL_AVX512 STEPWELL_INLINE static float Of(const float* a, const float* b,
                                                  size_t dim) {
    __m512 even = _mm512_setzero_ps(), odd = _mm512_setzero_ps();
    size_t i = 0;
    for (; i + 32 <= dim; i += 32) {
      even = _mm512_fmadd_ps(_mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i), even);
      odd = _mm512_fmadd_ps(_mm512_loadu_ps(a + i + 16), _mm512_loadu_ps(b + i + 16),
                            odd);
    }
    for (; i < dim; i += 16) {
      const __mmask16 mask = dim - i >= 16 ? 0xFFFF : TailMask(dim - i);
      even = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(mask, a + i),
                             _mm512_maskz_loadu_ps(mask, b + i), even);
    }
    return -_mm512_reduce_add_ps(_mm512_add_ps(even, odd));
  }
};

struct Avx512L2 {
  STEPWELL_AVX512 STEPWELL_INLINE static float Of(const float* a, const float* b,
                                                  size_t dim) {
    __m512 even = _mm512_setzero_ps(), odd = _mm512_setzero_ps();
    size_t i = 0;
    for (; i + 32 <= dim; i += 32) {
      const __m512 low = _mm512_sub_ps(_mm512_loadu_ps(a + i), _mm512_loadu_ps(b + i));
      const __m512 high =
          _mm512_sub_ps(_mm512_loadu_ps(a + i + 16), _mm512_loadu_ps(b + i + 16));
      even = _mm512_fmadd_ps(low, low, even);
      odd = _mm512_fmadd_ps(high, high, odd);
    }
    for (; i < dim; i += 16) {
      const __mmask16 mask = dim - i >= 16 ? 0xFFFF : TailMask(dim - i);
      const __m512 rest = _mm512_sub_ps(_mm512_maskz_loadu_ps(mask, a + i),
                                        _mm512_maskz_loadu_ps(mask, b + i));
      even = _mm512_fmadd_ps(rest, rest, even);
    }
    return _mm512_reduce_add_ps(_mm512_add_ps(even, odd));
  }
};

template <typename Distance>
STEPWELL_AVX512 void Avx512Gather(const float* query, size_t dim, RowBlock block,
                                  const uint32_t* rows, size_t n, float* out) {
  for (size_t i = 0; i < n; ++i) {
    if (i + kPrefetchRows < n) PrefetchRow(block, rows[i + kPrefetchRows], dim);
    out[i] = Distance::Of(query, RowAt(block, rows[i]), dim);
  }
}

// ---- choice

constexpr DistanceKernel kDotKernels[] = {
    {"scalar", ScalarGather<ScalarDot>},
    {"avx2", Avx2Gather<Avx2Dot>},
    {"avx512", Avx512Gather<Avx512Dot>},
};

constexpr DistanceKernel kL2Kernels[] = {
    {"scalar", ScalarGather<ScalarL2>},
    {"avx2", Avx2Gather<Avx2L2>},
    {"avx512", Avx512Gather<Avx512L2>},
};

const DistanceKernel* KernelsOf(Metric metric) {
  return metric == Metric::kL2 ? kL2Kernels : kDotKernels;
}

size_t NumRunnable() {
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return 1;
  const bool wide = __builtin_cpu_supports("avx512f") &&
                    __builtin_cpu_supports("avx512vl") &&
                    __builtin_cpu_supports("avx512dq");
  return wide ? 3 : 2;
}

}  // namespace

const DistanceKernel& BestDistanceKernel(Metric metric) {
  static const size_t kNumRunnable = NumRunnable();
  return KernelsOf(metric)[kNumRunnable - 1];
}

std::vector<DistanceKernel> RunnableDistanceKernels(Metric metric) {
  const DistanceKernel* kernels = KernelsOf(metric);
  return {kernels, kernels + NumRunnable()};
}

}  // namespace stepwell::index
