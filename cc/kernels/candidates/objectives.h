#ifndef CC_KERNELS_CANDIDATES_OBJECTIVES_H_
#define CC_KERNELS_CANDIDATES_OBJECTIVES_H_

#include <cstdint>

namespace stepwell::kernels {

// Writes probabilities [num_rows, num_objectives], the logistic function of the logits,
// and totals [num_rows], their sum with weights [num_objectives]; a total that is not
// finite becomes -infinity, so that it sinks.
void WeighObjectives(const float* logits, int64_t num_rows, int64_t num_objectives,
                     const float* weights, float* probabilities, float* totals);

}  // namespace stepwell::kernels

#endif  // CC_KERNELS_CANDIDATES_OBJECTIVES_H_
