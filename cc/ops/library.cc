#include <torch/csrc/stable/library.h>

// The schemas of every op, once for all devices. The CUDA library registers its kernels
// against them and is loaded after this one.
STABLE_TORCH_LIBRARY(stepwell, m) {
  m.def(
      "embedding_bag_tables(Tensor[] weights, Tensor indices, Tensor offsets, "
      "Tensor? per_sample_weights, str pooling) -> Tensor");
  m.def(
      "embedding_bag_tables_backward(Tensor grad, Tensor[] weights, Tensor indices, "
      "Tensor offsets, Tensor? per_sample_weights, str pooling) -> Tensor[]");
  m.def(
      "embedding_bag_tables_weights_backward(Tensor grad, Tensor[] weights, "
      "Tensor indices, Tensor offsets, str pooling) -> Tensor");
  m.def("dot_interaction(Tensor dense, Tensor sparse) -> Tensor");
  m.def(
      "dot_interaction_backward(Tensor grad, Tensor dense, Tensor sparse) "
      "-> (Tensor, Tensor)");
}
