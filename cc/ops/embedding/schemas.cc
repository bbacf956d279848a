#include <torch/csrc/stable/library.h>

// The schemas of the embedding ops, once for all devices. The CUDA library registers
// its kernels against them and is loaded after this one.
STABLE_TORCH_LIBRARY_FRAGMENT(stepwell, m) {
  m.def(
      "embedding_bag_tables(Tensor[] weights, Tensor indices, Tensor offsets, "
      "Tensor? per_sample_weights, Tensor? default_rows, str pooling) -> Tensor");
  m.def(
      "embedding_bag_tables_backward(Tensor grad, Tensor[] weights, Tensor indices, "
      "Tensor offsets, Tensor? per_sample_weights, Tensor? default_rows, str pooling) "
      "-> Tensor[]");
  m.def(
      "embedding_bag_tables_weights_backward(Tensor grad, Tensor[] weights, "
      "Tensor indices, Tensor offsets, Tensor? default_rows, str pooling) -> Tensor");
  m.def(
      "embedding_bag_packed(Tensor rows, Tensor layout, Tensor indices, "
      "Tensor offsets, Tensor? per_sample_weights, int output_dim, str pooling, "
      "str output_dtype) -> Tensor");
  m.def("quantize_rows(Tensor rows, str row_format) -> Tensor");
  m.def("dequantize_rows(Tensor rows, int dim, str row_format) -> Tensor");
}
