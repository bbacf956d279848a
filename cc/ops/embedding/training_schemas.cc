#include <torch/csrc/stable/library.h>

// The schemas of the ops that train tables, once for all devices.
STABLE_TORCH_LIBRARY_FRAGMENT(stepwell, m) {
  m.def(
      "embedding_bag_tables_entry_backward(Tensor grad, int[] dims, Tensor offsets, "
      "Tensor? per_sample_weights, str pooling) -> Tensor[]");
  m.def(
      "row_wise_adagrad_(Tensor(a!) table, Tensor(b!) moments, Tensor row_ids, "
      "Tensor grads, float lr, float eps) -> ()");
}
