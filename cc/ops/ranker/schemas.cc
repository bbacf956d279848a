#include <torch/csrc/stable/library.h>

// The schema of a whole ranker in one call. CPU only: what is fused here is what a
// GPU's own libraries do well.
STABLE_TORCH_LIBRARY_FRAGMENT(stepwell, m) {
  m.def(
      "rank_candidates(Tensor dense, Tensor item_rows, Tensor user_rows, Tensor "
      "offsets,"
      " Tensor weights, Tensor plan, Tensor items,"
      " int num_objectives, float clip) -> Tensor");
}
