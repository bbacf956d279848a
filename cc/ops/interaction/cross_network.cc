#include "cc/kernels/interaction/cross_network.h"

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <cstdint>

#include "cc/ops/checks.h"
#include "cc/ops/interaction/cross_network_arguments.h"
#include "cc/ops/new_tensor.h"

// CPU side of the cross network; its schema is in schemas.cc beside this file and its
// meaning is documented in py/stepwell/ops/cross_network.py.
namespace stepwell::ops {
namespace {

using kernels::CrossNetworkShape;

// Multiply-adds that are worth handing to another thread: about 20 us of work.
constexpr int64_t kProductsPerTask = 1 << 21;

int64_t SamplesPerTask(const CrossNetworkShape& shape) {
  const int64_t products =
      shape.num_layers * shape.width * (2 * shape.rank + 1) + shape.width + 1;
  return products < kProductsPerTask ? kProductsPerTask / products : 1;
}

const float* Floats(const Tensor& tensor) {
  return static_cast<const float*>(tensor.data_ptr());
}

Tensor Run(const CrossNetworkShape& shape, const Tensor& x, const Tensor& down,
           const Tensor& up, const Tensor& bias) {
  Tensor output = NewEmpty("cross_network", x, {x.size(0), shape.width});
  float* to = static_cast<float*>(output.data_ptr());
  torch::stable::parallel_for(
      0, x.size(0), SamplesPerTask(shape), [&](int64_t first, int64_t last) {
        const int64_t at = first * shape.width;
        kernels::CrossNetworkForward(shape, last - first, Floats(x) + at, Floats(down),
                                     Floats(up), Floats(bias), to + at);
      });
  return output;
}

Tensor CrossNetwork(const Tensor x, const Tensor down, const Tensor up,
                    const Tensor bias) {
  const CrossNetworkShape shape = CrossNetworkShapeOf(x, down, up, bias);
  if (x.scalar_type() == ScalarType::Float) return Run(shape, x, down, up, bias);
  const auto wide = [](const Tensor& tensor) {
    return torch::stable::to(tensor, ScalarType::Float);
  };
  return torch::stable::to(Run(shape, wide(x), wide(down), wide(up), wide(bias)),
                           ScalarType::BFloat16);
}

STABLE_TORCH_LIBRARY_IMPL(stepwell, CPU, m) {
  m.impl("cross_network", TORCH_BOX(&CrossNetwork));
}

}  // namespace
}  // namespace stepwell::ops
