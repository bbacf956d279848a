#include <torch/csrc/stable/library.h>

// The schemas of the embedding ops, once for all devices. The CUDA library registers
// its kernels against them and is loaded after this one.
STABLE_TORCH_LIBRARY_FRAGMENT(stepwell, m) {
  m.def(
      "embedding_bag_tables(Tensor[] weights, Tensor indices, Tensor offsets, "
      "Tensor? per_sample_weights, str pooling) -> Tensor");
  m.def(
      "embedding_bag_tables_backward(Tensor grad, Tensor[] weights, Tensor indices, "
      "Tensor offsets, Tensor? per_sample_weights, str pooling) -> Tensor[]");
  m.def(
      "embedding_bag_tables_weights_backward(Tensor grad, Tensor[] weights, "
      "Tensor indices, Tensor offsets, str pooling) -> Tensor");
}
