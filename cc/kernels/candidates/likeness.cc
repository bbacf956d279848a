#include "cc/kernels/candidates/likeness.h"

#include <algorithm>
#include <limits>
#include <vector>

namespace stepwell::kernels {

void ShareOfEqualCodes(const int32_t* codes, int64_t num_rows, int64_t num_columns,
                       int32_t unknown, float* likeness) {
  std::fill_n(likeness, num_rows * num_rows, 0.0f);
  // One column at a time lies in a row: compared as many at once as fit a register.
  std::vector<int32_t> column(static_cast<size_t>(num_rows));
  for (int64_t c = 0; c < num_columns; ++c) {
    for (int64_t i = 0; i < num_rows; ++i) {
      column[static_cast<size_t>(i)] = codes[i * num_columns + c];
    }
    for (int64_t i = 0; i < num_rows; ++i) {
      const int32_t mine = column[static_cast<size_t>(i)];
      if (mine == unknown) continue;
      float* line = likeness + i * num_rows;
      for (int64_t j = 0; j < num_rows; ++j) {
        line[j] += column[static_cast<size_t>(j)] == mine ? 1.0f : 0.0f;
      }
    }
  }
  const auto divisor = static_cast<float>(num_columns);
  for (int64_t i = 0; i < num_rows * num_rows; ++i) likeness[i] /= divisor;
}

void ChooseDiverse(const double* relevance, const float* likeness, int64_t num_items,
                   double weight, int64_t num_chosen, int64_t* chosen) {
  const auto size = static_cast<size_t>(num_items);
  std::vector<double> worth(size), penalty(size, 0.0);
  for (size_t i = 0; i < size; ++i) worth[i] = (1.0 - weight) * relevance[i];
  for (int64_t place = 0; place < num_chosen; ++place) {
    size_t best = size;
    double best_margin = 0.0;
    for (size_t i = 0; i < size; ++i) {
      const double margin = worth[i] - penalty[i];
      if (best < size && !(margin > best_margin)) continue;
      best = i;
      best_margin = margin;
    }
    chosen[place] = static_cast<int64_t>(best);
    worth[best] = -std::numeric_limits<double>::infinity();
    const float* line = likeness + static_cast<int64_t>(best) * num_items;
    for (size_t i = 0; i < size; ++i) {
      penalty[i] = std::max(penalty[i], weight * line[i]);
    }
  }
}

}  // namespace stepwell::kernels
