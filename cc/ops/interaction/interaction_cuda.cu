#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <cstdint>
#include <tuple>

#include "cc/kernels/interaction/interaction_cuda.h"
#include "cc/ops/checks.h"
#include "cc/ops/cuda_stream.h"
#include "cc/ops/interaction/interaction_arguments.h"
#include "cc/ops/new_tensor.h"

// CUDA side of the interactions; schemas are in schemas.cc beside this file.
namespace stepwell::ops {
namespace {

using kernels::cuda::ElementType;
using kernels::cuda::Samples;

ElementType ElementTypeOf(const Tensor& tensor) {
  return tensor.scalar_type() == ScalarType::BFloat16 ? ElementType::kBfloat16
                                                      : ElementType::kFloat32;
}

// A sample's dense vector, then its sparse ones.
Samples SamplesOf(const kernels::InteractionShape& shape, const Tensor& dense,
                  const Tensor& sparse) {
  return {dense.data_ptr(), sparse.data_ptr(), dense.size(0), 1,
          shape.num_sparse, shape.dim,         shape.dim};
}

Tensor DotInteraction(const Tensor dense, const Tensor sparse) {
  constexpr char kOp[] = "dot_interaction";
  const kernels::InteractionShape shape = ShapeOf(kOp, dense, sparse);
  const CudaScope scope(dense);
  Tensor output = NewEmpty(kOp, dense, {dense.size(0), shape.output_dim()});
  CheckLaunch(kOp, kernels::cuda::InteractionForward(
                       SamplesOf(shape, dense, sparse), ElementTypeOf(dense),
                       output.data_ptr(), scope.stream()));
  return output;
}

std::tuple<Tensor, Tensor> DotInteractionBackward(const Tensor grad, const Tensor dense,
                                                  const Tensor sparse) {
  constexpr char kOp[] = "dot_interaction_backward";
  const kernels::InteractionShape shape = ShapeOf(kOp, dense, sparse);
  CheckInteractionGrad(kOp, grad, dense, shape);
  const int64_t batch = dense.size(0);
  const CudaScope scope(dense);
  Tensor dense_grad = NewEmpty(kOp, dense, {batch, shape.dim});
  Tensor sparse_grad = NewEmpty(kOp, sparse, {batch, shape.num_sparse, shape.dim});
  CheckLaunch(
      kOp, kernels::cuda::InteractionBackward(
               SamplesOf(shape, dense, sparse), ElementTypeOf(dense), grad.data_ptr(),
               dense_grad.data_ptr(), sparse_grad.data_ptr(), scope.stream()));
  return {dense_grad, sparse_grad};
}

// The user's vectors are the first of every candidate's.
Tensor RequestInteraction(const Tensor user, const Tensor items) {
  constexpr char kOp[] = "request_interaction";
  const kernels::RequestShape shape = RequestShapeOf(kOp, user, items);
  const Samples samples = {user.data_ptr(),
                           items.data_ptr(),
                           items.size(0),
                           user.size(0),
                           items.size(1),
                           user.size(1),
                           0};
  const CudaScope scope(user);
  Tensor output = NewEmpty(kOp, items, {items.size(0), shape.output_dim()});
  CheckLaunch(kOp,
              kernels::cuda::InteractionForward(samples, ElementTypeOf(user),
                                                output.data_ptr(), scope.stream()));
  return output;
}

STABLE_TORCH_LIBRARY_IMPL(stepwell, STEPWELL_CUDA_DISPATCH_KEY, m) {
  m.impl("dot_interaction", TORCH_BOX(&DotInteraction));
  m.impl("dot_interaction_backward", TORCH_BOX(&DotInteractionBackward));
  m.impl("request_interaction", TORCH_BOX(&RequestInteraction));
}

}  // namespace
}  // namespace stepwell::ops
