#include "cc/kernels/interaction/cross_network_backward.h"

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <cstdint>
#include <tuple>

#include "cc/ops/checks.h"
#include "cc/ops/interaction/cross_network_arguments.h"
#include "cc/ops/new_tensor.h"

// The cross network's gradients on the CPU; the schema is in schemas.cc beside this
// file and the meaning is documented in py/stepwell/ops/cross_network.py.
namespace stepwell::ops {
namespace {

using kernels::CrossNetworkBackward;
using kernels::CrossNetworkShape;
using Gradients = std::tuple<Tensor, Tensor, Tensor, Tensor>;

// Multiply-adds that are worth handing to another thread: about 20 us of work.
constexpr int64_t kProductsPerTask = 1 << 21;
// Columns of a weight's gradient that one task fills.
constexpr int64_t kTaskColumns = 256;

float* Floats(const Tensor& tensor) { return static_cast<float*>(tensor.data_ptr()); }

Tensor Transposed(const Tensor& matrices) {
  return torch::stable::contiguous(torch::stable::transpose(matrices, 1, 2));
}

void RunSamples(const CrossNetworkBackward& pass) {
  const auto [num_layers, width, rank] = pass.shape;
  const int64_t products = num_layers * width * (4 * rank + 4) + width + 1;
  torch::stable::parallel_for(0, pass.batch,
                              std::max<int64_t>(kProductsPerTask / products, 1),
                              [&](int64_t first, int64_t last) {
                                kernels::CrossNetworkBackwardSamples(pass, first, last);
                              });
}

void RunWeights(const CrossNetworkBackward& pass) {
  const auto [num_layers, width, rank] = pass.shape;
  const int64_t products = kTaskColumns * pass.batch * (2 * rank + 1) + 1;
  const int64_t tasks_a_layer = (width + kTaskColumns - 1) / kTaskColumns;
  torch::stable::parallel_for(
      0, num_layers * tasks_a_layer, std::max<int64_t>(kProductsPerTask / products, 1),
      [&](int64_t begin, int64_t end) {
        for (int64_t task = begin; task < end; ++task) {
          const int64_t first = task % tasks_a_layer * kTaskColumns;
          kernels::CrossNetworkBackwardWeights(pass, task / tasks_a_layer, first,
                                               std::min(first + kTaskColumns, width));
        }
      });
}

constexpr char kOp[] = "cross_network_backward";

// All tensors float32.
Gradients Run(const CrossNetworkShape& shape, const Tensor& grad, const Tensor& x,
              const Tensor& down, const Tensor& up, const Tensor& bias) {
  const auto [num_layers, width, rank] = shape;
  const int64_t batch = x.size(0);
  const Tensor down_transposed = Transposed(down);
  const Tensor up_transposed = Transposed(up);
  const Tensor inputs = NewEmpty(kOp, x, {num_layers, batch, width});
  const Tensor hidden = NewEmpty(kOp, x, {num_layers, batch, rank});
  const Tensor crossed_grad = NewEmpty(kOp, x, {num_layers, batch, width});
  const Tensor hidden_grad = NewEmpty(kOp, x, {num_layers, batch, rank});
  const Tensor x_grad = torch::stable::empty_like(x);
  const Tensor down_grad_transposed = torch::stable::empty_like(down_transposed);
  const Tensor up_grad = torch::stable::empty_like(up);
  const Tensor bias_grad = torch::stable::empty_like(bias);
  const CrossNetworkBackward pass = {
      .shape = shape,
      .batch = batch,
      .grad = Floats(grad),
      .x = Floats(x),
      .down = Floats(down),
      .up = Floats(up),
      .bias = Floats(bias),
      .down_transposed = Floats(down_transposed),
      .up_transposed = Floats(up_transposed),
      .inputs = Floats(inputs),
      .hidden = Floats(hidden),
      .crossed_grad = Floats(crossed_grad),
      .hidden_grad = Floats(hidden_grad),
      .x_grad = Floats(x_grad),
      .down_grad_transposed = Floats(down_grad_transposed),
      .up_grad = Floats(up_grad),
      .bias_grad = Floats(bias_grad)};
  RunSamples(pass);
  RunWeights(pass);
  return {x_grad, Transposed(down_grad_transposed), up_grad, bias_grad};
}

Gradients CrossNetworkBackwardOp(const Tensor grad, const Tensor x, const Tensor down,
                                 const Tensor up, const Tensor bias) {
  const CrossNetworkShape shape = CrossNetworkShapeOf(x, down, up, bias, kOp);
  CheckCrossNetworkGrad(kOp, grad, x);
  if (x.scalar_type() == ScalarType::Float) return Run(shape, grad, x, down, up, bias);
  const auto wide = [](const Tensor& tensor) {
    return torch::stable::to(tensor, ScalarType::Float);
  };
  const auto narrow = [](const Tensor& tensor) {
    return torch::stable::to(tensor, ScalarType::BFloat16);
  };
  const auto [x_grad, down_grad, up_grad, bias_grad] =
      Run(shape, wide(grad), wide(x), wide(down), wide(up), wide(bias));
  return {narrow(x_grad), narrow(down_grad), narrow(up_grad), narrow(bias_grad)};
}

STABLE_TORCH_LIBRARY_IMPL(stepwell, CPU, m) {
  m.impl("cross_network_backward", TORCH_BOX(&CrossNetworkBackwardOp));
}

}  // namespace
}  // namespace stepwell::ops
