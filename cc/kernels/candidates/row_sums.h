#ifndef CC_KERNELS_CANDIDATES_ROW_SUMS_H_
#define CC_KERNELS_CANDIDATES_ROW_SUMS_H_

#include <cstdint>

#include "cc/kernels/simd/isa.h"

namespace stepwell::kernels {

// Writes pooled [dim]: the sum of weights[i] * vectors[rows[i]] over num_rows rows.
// vectors is row-major with rows of `dim`; a negative row adds nothing, others must
// exist. Order of sums: as the rows stand.
void PoolRows(const float* vectors, int64_t dim, const int64_t* rows,
              const float* weights, int64_t num_rows, float* pooled,
              Isa isa = BestIsa());

// Writes products [num_vectors]: the inner product of each row of `vectors` with
// `vector` [dim]. Bound by the memory that is read once, num_vectors * dim floats.
void InnerProducts(const float* vectors, int64_t num_vectors, int64_t dim,
                   const float* vector, float* products, Isa isa = BestIsa());

// The same for some rows of `vectors`, each of which must exist.
void InnerProductsOfRows(const float* vectors, int64_t dim, const int64_t* rows,
                         int64_t num_rows, const float* vector, float* products,
                         Isa isa = BestIsa());

}  // namespace stepwell::kernels

#endif  // CC_KERNELS_CANDIDATES_ROW_SUMS_H_
