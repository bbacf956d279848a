#include "cc/kernels/candidates/objectives.h"

#include <cmath>
#include <limits>

namespace stepwell::kernels {

void WeighObjectives(const float* logits, int64_t num_rows, int64_t num_objectives,
                     const float* weights, float* probabilities, float* totals) {
  for (int64_t row = 0; row < num_rows; ++row) {
    float total = 0.0f;
    for (int64_t objective = 0; objective < num_objectives; ++objective) {
      // Of a large negative logit the exponential is infinite and the quotient 0.
      const float probability = 1.0f / (1.0f + std::exp(-*logits++));
      *probabilities++ = probability;
      total += probability * weights[objective];
    }
    totals[row] =
        std::isfinite(total) ? total : -std::numeric_limits<float>::infinity();
  }
}

}  // namespace stepwell::kernels
