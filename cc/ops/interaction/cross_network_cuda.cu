#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <cstdint>

#include "cc/kernels/interaction/cross_network_cuda.h"
#include "cc/ops/cuda_stream.h"
#include "cc/ops/interaction/cross_network_arguments.h"
#include "cc/ops/new_tensor.h"

// CUDA side of the cross network: torch's own matrix products, with the rest of a layer
// in one kernel. Its schema is in schemas.cc beside this file.
namespace stepwell::ops {
namespace {

using kernels::cuda::CrossLayer;
using kernels::cuda::ElementType;

// x_l of all samples. In bfloat16 the sums over layers stay in float32 beside it.
struct LayerState {
  Tensor values;
  Tensor sums;
};

void RunLayer(const char* op, const Tensor& x, const Tensor& products,
              const Tensor& bias, bool is_first, LayerState& state,
              cudaStream_t stream) {
  const bool is_float = x.scalar_type() == ScalarType::Float;
  float* const sums = is_float ? static_cast<float*>(state.values.data_ptr())
                               : static_cast<float*>(state.sums.data_ptr());
  Tensor output = torch::stable::empty_like(x);
  const CrossLayer layer = {x.data_ptr(),
                            products.data_ptr(),
                            bias.data_ptr(),
                            is_first ? nullptr : sums,
                            is_float ? nullptr : sums,
                            output.data_ptr(),
                            x.size(0),
                            x.size(1)};
  CheckLaunch(op, kernels::cuda::CrossLayerCombine(
                      layer, is_float ? ElementType::kFloat32 : ElementType::kBfloat16,
                      stream));
  state.values = output;
}

Tensor CrossNetwork(const Tensor x, const Tensor down, const Tensor up,
                    const Tensor bias) {
  constexpr char kOp[] = "cross_network";
  const kernels::CrossNetworkShape shape = CrossNetworkShapeOf(x, down, up, bias);
  if (shape.num_layers == 0) return torch::stable::clone(x);
  const CudaScope scope(x);
  const int64_t num_sums = x.scalar_type() == ScalarType::Float ? 0 : x.size(0);
  LayerState state = {x, NewEmpty(kOp, x, {num_sums, x.size(1)}, ScalarType::Float)};
  for (int64_t layer = 0; layer < shape.num_layers; ++layer) {
    const Tensor hidden =
        torch::stable::matmul(state.values, torch::stable::select(down, 0, layer));
    const Tensor products =
        torch::stable::matmul(hidden, torch::stable::select(up, 0, layer));
    RunLayer(kOp, x, products, torch::stable::select(bias, 0, layer), layer == 0, state,
             scope.stream());
  }
  return state.values;
}

STABLE_TORCH_LIBRARY_IMPL(stepwell, STEPWELL_CUDA_DISPATCH_KEY, m) {
  m.impl("cross_network", TORCH_BOX(&CrossNetwork));
}

}  // namespace
}  // namespace stepwell::ops
