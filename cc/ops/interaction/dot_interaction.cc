#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <cstdint>
#include <tuple>

#include "cc/kernels/interaction/interaction.h"
#include "cc/ops/checks.h"
#include "cc/ops/interaction/interaction_arguments.h"

// CPU side of the interaction ops; their schemas are in schemas.cc beside this file and their
// meaning is documented in py/stepwell/ops/dot_interaction.py.
namespace stepwell::ops {
namespace {

using kernels::InteractionShape;

// Multiply-adds that are worth handing to another thread: about 20 us of work.
constexpr int64_t kProductsPerTask = 1 << 20;

int64_t SamplesPerTask(const InteractionShape& shape) {
  const int64_t products = shape.num_pairs() * shape.dim + shape.dim + 1;
  return products < kProductsPerTask ? kProductsPerTask / products : 1;
}

Tensor DotInteraction(const Tensor dense, const Tensor sparse) {
  constexpr char kOp[] = "dot_interaction";
  const InteractionShape shape = ShapeOf(kOp, dense, sparse);
  const int64_t batch = dense.size(0);
  Tensor output = torch::stable::new_empty(dense, {batch, shape.output_dim()});
  const float* from_dense = static_cast<const float*>(dense.data_ptr());
  const float* from_sparse = static_cast<const float*>(sparse.data_ptr());
  float* to = static_cast<float*>(output.data_ptr());
  torch::stable::parallel_for(0, batch, SamplesPerTask(shape),
                              [&](int64_t first, int64_t last) {
                                kernels::DotInteractionForward(
                                    shape, last - first, from_dense + first * shape.dim,
                                    from_sparse + first * shape.num_sparse * shape.dim,
                                    to + first * shape.output_dim());
                              });
  return output;
}

std::tuple<Tensor, Tensor> DotInteractionBackward(const Tensor grad, const Tensor dense,
                                                  const Tensor sparse) {
  constexpr char kOp[] = "dot_interaction_backward";
  const InteractionShape shape = ShapeOf(kOp, dense, sparse);
  CheckInteractionGrad(kOp, grad, dense, shape);
  const int64_t batch = dense.size(0);
  Tensor dense_grad = torch::stable::new_empty(dense, {batch, shape.dim});
  Tensor sparse_grad =
      torch::stable::new_empty(sparse, {batch, shape.num_sparse, shape.dim});
  const float* from_grad = static_cast<const float*>(grad.data_ptr());
  const float* from_dense = static_cast<const float*>(dense.data_ptr());
  const float* from_sparse = static_cast<const float*>(sparse.data_ptr());
  float* to_dense = static_cast<float*>(dense_grad.data_ptr());
  float* to_sparse = static_cast<float*>(sparse_grad.data_ptr());
  const int64_t sparse_size = shape.num_sparse * shape.dim;
  torch::stable::parallel_for(
      0, batch, SamplesPerTask(shape), [&](int64_t first, int64_t last) {
        kernels::DotInteractionBackward(
            shape, last - first, from_grad + first * shape.output_dim(),
            from_dense + first * shape.dim, from_sparse + first * sparse_size,
            to_dense + first * shape.dim, to_sparse + first * sparse_size);
      });
  return {dense_grad, sparse_grad};
}

STABLE_TORCH_LIBRARY_IMPL(stepwell, CPU, m) {
  m.impl("dot_interaction", TORCH_BOX(&DotInteraction));
  m.impl("dot_interaction_backward", TORCH_BOX(&DotInteractionBackward));
}

}  // namespace
}  // namespace stepwell::ops
