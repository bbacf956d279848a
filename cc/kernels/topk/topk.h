#ifndef CC_KERNELS_TOPK_TOPK_H_
#define CC_KERNELS_TOPK_TOPK_H_

#include <cstdint>

#include "cc/kernels/simd/isa.h"

namespace stepwell::kernels {

// The most scores of one call: a position takes 31 bits of a 64-bit sort key.
constexpr int64_t kTopKMaxScores = (int64_t{1} << 31) - 1;

// Writes the best min(k, num_scores) of `scores` [num_scores] and their `ids`
// [num_scores], best first: descending score, ties by lower id. NaN and the infinities
// rank after every finite score, by lower id, and come out as -inf. 0.0 and -0.0 tie.
// Needs 0 <= num_scores <= kTopKMaxScores and k >= 0.
// Safe to call at once. Cost: O(num_scores + k log k) expected and about as much in the
// worst order of scores; memory for 16 * max(4 k, 2048) bytes, or 16 * num_scores when
// that is less.
void TopKScores(const float* scores, const int64_t* ids, int64_t num_scores, int64_t k,
                float* best_scores, int64_t* best_ids, Isa isa = BestIsa());

}  // namespace stepwell::kernels

#endif  // CC_KERNELS_TOPK_TOPK_H_
