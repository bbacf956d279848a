#ifndef CC_KERNELS_CANDIDATES_BEST_FIRST_H_
#define CC_KERNELS_CANDIDATES_BEST_FIRST_H_

#include <cstdint>

namespace stepwell::kernels {

// The most positions of one order, and the rows that it takes: both share 64 bits.
constexpr int64_t kMaxOrdered = int64_t{1} << 24;
constexpr int64_t kMaxOrderedRow = int64_t{1} << 38;

// Writes positions [num_kept]: those of the best scores, descending, ties by lower row,
// then by lower position. Scores that are not finite come last. Needs num_kept <=
// num_scores <= kMaxOrdered and 0 <= rows[i] < kMaxOrderedRow.
// Cost: as TopKScores, about 4 us for 500 of 500.
void OrderBestFirst(const float* scores, const int64_t* rows, int64_t num_scores,
                    int64_t num_kept, int64_t* positions);

}  // namespace stepwell::kernels

#endif  // CC_KERNELS_CANDIDATES_BEST_FIRST_H_
