// From sums of int8 products to distances. Only for int8_kernels.cc.
#ifndef STEPWELL_CC_INDEX_INT8_FINISH_H_
#define STEPWELL_CC_INDEX_INT8_FINISH_H_

#include <cfloat>
#include <cstdint>
#include <cstring>

#include "cc/index/code_kernels.h"
#include "cc/index/code_sums.h"

namespace stepwell::index {

inline float NormOf(const CodeShape& shape, const char* row) {
  float norm;
  std::memcpy(&norm, row + shape.norm_at, sizeof(norm));
  return norm;
}

// From sums of products to distances, four at a time. A product of steps could be
// infinite where the distance is not, hence the order.
template <bool kL2>
class Finish {
 public:
  Finish(const CodeShape& shape, const char* query)
      : shape_(shape), head_(reinterpret_cast<const Int8QueryHead*>(query)) {}

  STEPWELL_INLINE void Quad(__m128i sums, const char* const rows[4], float* out) const {
    const __m128 products = Products(sums);
    if (!kL2) {
      _mm_storeu_ps(out, _mm_sub_ps(_mm_setzero_ps(), products));
      return;
    }
    const __m128 norms = _mm_set_ps(NormOf(shape_, rows[3]), NormOf(shape_, rows[2]),
                                    NormOf(shape_, rows[1]), NormOf(shape_, rows[0]));
    _mm_storeu_ps(out, Squares(norms, _mm_set1_ps(head_->sq_norm), products));
  }

  STEPWELL_INLINE float One(int32_t sum, const char* row) const {
    const __m128 products = Products(_mm_cvtsi32_si128(sum));
    if (!kL2) return _mm_cvtss_f32(_mm_sub_ps(_mm_setzero_ps(), products));
    const __m128 norm = _mm_set_ss(NormOf(shape_, row));
    return _mm_cvtss_f32(Squares(norm, _mm_set_ss(head_->sq_norm), products));
  }

  // Of two rows; `sum` is of the products of their numbers, without any bias.
  STEPWELL_INLINE static float Pair(const CodeShape& shape, const char* a,
                                    const char* b, int32_t sum) {
    const __m128 step = _mm_set1_ps(shape.step);
    const __m128 products =
        _mm_mul_ps(_mm_mul_ps(_mm_cvtepi32_ps(_mm_cvtsi32_si128(sum)), step), step);
    if (!kL2) return _mm_cvtss_f32(_mm_sub_ps(_mm_setzero_ps(), products));
    return _mm_cvtss_f32(
        Squares(_mm_set_ss(NormOf(shape, b)), _mm_set_ss(NormOf(shape, a)), products));
  }

 private:
  STEPWELL_INLINE __m128 Products(__m128i sums) const {
    const __m128i unbiased = _mm_sub_epi32(sums, _mm_set1_epi32(head_->bias));
    const __m128 rows = _mm_mul_ps(_mm_cvtepi32_ps(unbiased), _mm_set1_ps(shape_.step));
    return _mm_mul_ps(rows, _mm_set1_ps(head_->step));
  }

  // Never below zero by rounding; what overflows is far away, not NaN.
  STEPWELL_INLINE static __m128 Squares(__m128 norms, __m128 query_norm,
                                        __m128 products) {
    const __m128 squares =
        _mm_sub_ps(_mm_add_ps(norms, query_norm), _mm_add_ps(products, products));
    return _mm_max_ps(_mm_min_ps(squares, _mm_set1_ps(FLT_MAX)), _mm_setzero_ps());
  }

  const CodeShape& shape_;
  const Int8QueryHead* const head_;
};

STEPWELL_INLINE const char* NumbersOf(const char* query) {
  return query + sizeof(Int8QueryHead);
}

}  // namespace stepwell::index

#endif  // STEPWELL_CC_INDEX_INT8_FINISH_H_
