#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <cstdint>
#include <tuple>

#include "cc/kernels/interaction/interaction_cuda.h"
#include "cc/ops/checks.h"
#include "cc/ops/cuda_stream.h"
#include "cc/ops/interaction/interaction_arguments.h"

// CUDA side of the interaction ops; schemas are in schemas.cc beside this file.
namespace stepwell::ops {
namespace {

const float* FloatsOf(const Tensor& tensor) {
  return static_cast<const float*>(tensor.data_ptr());
}

float* MutableFloatsOf(const Tensor& tensor) {
  return static_cast<float*>(tensor.data_ptr());
}

Tensor DotInteraction(const Tensor dense, const Tensor sparse) {
  constexpr char kOp[] = "dot_interaction";
  const kernels::InteractionShape shape = ShapeOf(kOp, dense, sparse);
  const int64_t batch = dense.size(0);
  const CudaScope scope(dense);
  Tensor output = torch::stable::new_empty(dense, {batch, shape.output_dim()});
  CheckLaunch(kOp, kernels::DotInteractionForwardCuda(
                       shape, batch, FloatsOf(dense), FloatsOf(sparse),
                       MutableFloatsOf(output), scope.stream()));
  return output;
}

std::tuple<Tensor, Tensor> DotInteractionBackward(const Tensor grad, const Tensor dense,
                                                  const Tensor sparse) {
  constexpr char kOp[] = "dot_interaction_backward";
  const kernels::InteractionShape shape = ShapeOf(kOp, dense, sparse);
  CheckInteractionGrad(kOp, grad, dense, shape);
  const int64_t batch = dense.size(0);
  const CudaScope scope(dense);
  Tensor dense_grad = torch::stable::new_empty(dense, {batch, shape.dim});
  Tensor sparse_grad =
      torch::stable::new_empty(sparse, {batch, shape.num_sparse, shape.dim});
  CheckLaunch(kOp, kernels::DotInteractionBackwardCuda(
                       shape, batch, FloatsOf(grad), FloatsOf(dense), FloatsOf(sparse),
                       MutableFloatsOf(dense_grad), MutableFloatsOf(sparse_grad),
                       scope.stream()));
  return {dense_grad, sparse_grad};
}

STABLE_TORCH_LIBRARY_IMPL(stepwell, CUDA, m) {
  m.impl("dot_interaction", TORCH_BOX(&DotInteraction));
  m.impl("dot_interaction_backward", TORCH_BOX(&DotInteractionBackward));
}

}  // namespace
}  // namespace stepwell::ops
