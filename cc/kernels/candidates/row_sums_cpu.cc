#include <cstdint>

#include "cc/kernels/candidates/row_sums.h"
#include "cc/kernels/simd/isa.h"
#include "cc/kernels/simd/vec.h"

namespace stepwell::kernels {
namespace {

// Rows asked for ahead of their use: a miss takes about as long as these take to add.
constexpr int64_t kRowsAhead = 8;
constexpr int64_t kCacheLineFloats = 16;

struct RowsToPool {
  const float* vectors;
  int64_t dim;
  const int64_t* rows;
  const float* weights;
  int64_t num_rows;
  float* pooled;

  void Prefetch(int64_t i, int64_t first) const {
    if (rows[i] < 0) return;
    const float* row = vectors + rows[i] * dim + first;
    for (int line = 0; line < 4; ++line) {
      __builtin_prefetch(row + line * kCacheLineFloats);
    }
  }
};

}  // namespace
}  // namespace stepwell::kernels

#define STEPWELL_KERNEL_BODY "cc/kernels/candidates/row_sums_body.h"
#include "cc/kernels/simd/per_isa.h"

namespace stepwell::kernels {

void PoolRows(const float* vectors, int64_t dim, const int64_t* rows,
              const float* weights, int64_t num_rows, float* pooled, Isa isa) {
  const RowsToPool task{vectors, dim, rows, weights, num_rows, pooled};
  switch (isa) {
    case Isa::kAvx512:
      return avx512::Pool(task);
    case Isa::kAvx2:
      return avx2::Pool(task);
    case Isa::kBaseline:
      break;
  }
  baseline::Pool(task);
}

void InnerProducts(const float* vectors, int64_t num_vectors, int64_t dim,
                   const float* vector, float* products, Isa isa) {
  switch (isa) {
    case Isa::kAvx512:
      return avx512::Products(vectors, num_vectors, dim, vector, products);
    case Isa::kAvx2:
      return avx2::Products(vectors, num_vectors, dim, vector, products);
    case Isa::kBaseline:
      break;
  }
  baseline::Products(vectors, num_vectors, dim, vector, products);
}

void InnerProductsOfRows(const float* vectors, int64_t dim, const int64_t* rows,
                         int64_t num_rows, const float* vector, float* products,
                         Isa isa) {
  const RowsToPool task{vectors, dim, rows, nullptr, num_rows, nullptr};
  switch (isa) {
    case Isa::kAvx512:
      return avx512::ProductsOfRows(task, vector, products);
    case Isa::kAvx2:
      return avx2::ProductsOfRows(task, vector, products);
    case Isa::kBaseline:
      break;
  }
  baseline::ProductsOfRows(task, vector, products);
}

}  // namespace stepwell::kernels
