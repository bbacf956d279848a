#include <torch/csrc/stable/library.h>

// The schemas of what lies between the int8 layers of a serving MLP. CPU only, like the
// packed layers of torch that they stand between.
STABLE_TORCH_LIBRARY_FRAGMENT(stepwell, m) {
  m.def(
      "quantize_activations(Tensor values, Tensor? row_scales, Tensor? bias, bool relu)"
      " -> (Tensor, Tensor)");
  m.def(
      "finish_activations(Tensor values, Tensor? row_scales, Tensor? bias, bool relu, "
      "str output_dtype) -> Tensor");
}
