#include <torch/csrc/stable/library.h>

// The schema of the top-k op, once for all devices. The CUDA library registers its
// kernel against it and is loaded after this one.
STABLE_TORCH_LIBRARY_FRAGMENT(stepwell, m) {
  m.def("topk_scores(Tensor scores, Tensor ids, int k) -> (Tensor, Tensor)");
}
