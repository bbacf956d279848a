#ifndef CC_KERNELS_CANDIDATES_CO_OCCURRENCE_H_
#define CC_KERNELS_CANDIDATES_CO_OCCURRENCE_H_

#include <cstdint>
#include <vector>

#include "cc/kernels/candidates/coded_vectors.h"
#include "cc/kernels/simd/isa.h"

namespace stepwell::kernels {

// What is bought with what: the columns of an item-item matrix A Z^T + R, row-major
// over num_items items, and what lifts an item of the categories a user buys in.
struct CoOccurrence {
  int64_t num_items = 0;
  int64_t dim = 0;                        // D of A and Z, may be 0
  const float* input_vectors = nullptr;   // A, [num_items, dim]
  const float* output_vectors = nullptr;  // Z, [num_items, dim]
  // Of Z, usable, for a first look; null for none.
  const CodedVectors* coded_vectors = nullptr;
  int64_t num_neighbours = 0;
  const int32_t* neighbour_rows = nullptr;   // R, [num_items, num_neighbours], -1 pads
  const float* neighbour_weights = nullptr;  // 0 in pads
  const int32_t* categories = nullptr;       // [num_items], null for no lift
  const float* lifts = nullptr;              // [num_items]
  int64_t num_categories = 0;
  double category_floor = 0.0;  // share of a history granted to every category
  double category_power = 0.0;
};

// Work memory of one call after the other; as large as the largest needed. Not to be
// used again after an exception.
struct CoOccurrenceScratch {
  std::vector<double> sums;  // zeros between calls
  std::vector<float> category_factors;
  std::vector<float> pooled;
  CodedVectors::Query query;
  std::vector<float> lowest;   // what each score is at least
  std::vector<float> highest;  // and at most
  std::vector<int64_t> found;  // the items that a second look is taken at
  std::vector<float> scores;
  std::vector<int64_t> item_rows;  // 0, 1, 2, ...
};

// Writes scores [num_items]: (h A Z^T + h R) * factor for the history h that has
// weights[i] at rows[i]; negative rows are skipped, others must exist. An item's factor
// is (its category's share of the history + floor)^power * lift.
void CoOccurrenceScores(const CoOccurrence& model, const int64_t* rows,
                        const float* weights, int64_t num_rows,
                        CoOccurrenceScratch& scratch, float* scores,
                        Isa isa = BestIsa());

// Writes the `limit` items of the highest positive, finite scores, best first, ties by
// lower row, and their scores; returns how many there are.
// With coded vectors all items are bounded by codes, and those that may be among the
// best are scored: the answer is the same. Cost: one read of the codes or of Z, which
// is what it waits for, and O(num_items + limit log limit).
int64_t BestCoOccurring(const CoOccurrence& model, const int64_t* rows,
                        const float* weights, int64_t num_rows, int64_t limit,
                        CoOccurrenceScratch& scratch, int64_t* best_rows,
                        float* best_scores, Isa isa = BestIsa());

}  // namespace stepwell::kernels

#endif  // CC_KERNELS_CANDIDATES_CO_OCCURRENCE_H_
