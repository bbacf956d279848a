#ifndef CC_KERNELS_CANDIDATES_LIKENESS_H_
#define CC_KERNELS_CANDIDATES_LIKENESS_H_

#include <cstdint>

namespace stepwell::kernels {

// Writes likeness [num_rows, num_rows]: the share of the num_columns columns in which
// two rows of codes, row-major, have the same value; `unknown` is like nothing.
void ShareOfEqualCodes(const int32_t* codes, int64_t num_rows, int64_t num_columns,
                       int32_t unknown, float* likeness);

// Writes chosen [num_chosen]: positions among num_items, taken one after the other by
// the greatest (1 - weight) * relevance - weight * the greatest likeness to those taken
// before (at least 0); ties go to the lower position. relevance [num_items] is finite,
// likeness [num_items, num_items]. Needs num_chosen <= num_items.
// Source: Carbonell & Goldstein, SIGIR 1998 (maximal marginal relevance).
void ChooseDiverse(const double* relevance, const float* likeness, int64_t num_items,
                   double weight, int64_t num_chosen, int64_t* chosen);

}  // namespace stepwell::kernels

#endif  // CC_KERNELS_CANDIDATES_LIKENESS_H_
