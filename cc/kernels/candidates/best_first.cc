#include "cc/kernels/candidates/best_first.h"

#include <cstddef>
#include <vector>

#include "cc/kernels/topk/topk.h"

namespace stepwell::kernels {

void OrderBestFirst(const float* scores, const int64_t* rows, int64_t num_scores,
                    int64_t num_kept, int64_t* positions) {
  std::vector<int64_t> ids(static_cast<size_t>(num_scores));
  for (int64_t i = 0; i < num_scores; ++i) {
    ids[static_cast<size_t>(i)] = rows[i] * kMaxOrdered + i;
  }
  std::vector<float> best(static_cast<size_t>(num_kept));
  TopKScores(scores, ids.data(), num_scores, num_kept, best.data(), positions);
  for (int64_t i = 0; i < num_kept; ++i) positions[i] %= kMaxOrdered;
}

}  // namespace stepwell::kernels
