#include <torch/csrc/stable/library.h>

// The schemas of the interaction ops, once for all devices. The CUDA library registers
// its kernels against them and is loaded after this one.
STABLE_TORCH_LIBRARY_FRAGMENT(stepwell, m) {
  m.def("cross_network(Tensor x, Tensor down, Tensor up, Tensor bias) -> Tensor");
  m.def(
      "cross_network_backward(Tensor grad, Tensor x, Tensor down, Tensor up, Tensor "
      "bias)"
      " -> (Tensor, Tensor, Tensor, Tensor)");
  m.def("dot_interaction(Tensor dense, Tensor sparse) -> Tensor");
  m.def(
      "dot_interaction_backward(Tensor grad, Tensor dense, Tensor sparse) "
      "-> (Tensor, Tensor)");
  m.def("request_interaction(Tensor user, Tensor items) -> Tensor");
}
