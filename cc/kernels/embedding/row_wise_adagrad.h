#ifndef CC_KERNELS_EMBEDDING_ROW_WISE_ADAGRAD_H_
#define CC_KERNELS_EMBEDDING_ROW_WISE_ADAGRAD_H_

#include <cstdint>
#include <vector>

#include "cc/kernels/simd/isa.h"

namespace stepwell::kernels {

// One gradient among many: which row it is of and where it stands.
struct RowEntry {
  int64_t row;
  int64_t position;
};

// Orders entries by row and, in a row, by position. Cost: O(n) for each 11 bits of the
// largest row number; `entries` must name rows >= 0.
void SortByRow(std::vector<RowEntry>& entries);

// A table that row-wise Adagrad trains: `moments` has one number a row. The caller owns
// all memory. `grads` [entries, dim] is what the positions of the entries name.
struct AdagradTable {
  float* rows;
  float* moments;
  const float* grads;
  int64_t dim;
  float lr;
  float eps;
};

// Updates each row whose first entry is in [first, last) of `entries`, which SortByRow
// has ordered and which name rows of the table only. With g the sum of the row's
// gradients in order of position:
//
//   moment += sum(g * g) / dim
//   row    -= lr / (sqrt(moment) + eps) * g
//
// `scratch` holds dim floats, one such piece for each concurrent call. Safe at once for
// disjoint ranges: a row belongs to the range of its first entry. The same bits however
// the entries are split into ranges.
void RowWiseAdagrad(const AdagradTable& table, const std::vector<RowEntry>& entries,
                    int64_t first, int64_t last, float* scratch, Isa isa = BestIsa());

}  // namespace stepwell::kernels

#endif  // CC_KERNELS_EMBEDDING_ROW_WISE_ADAGRAD_H_
