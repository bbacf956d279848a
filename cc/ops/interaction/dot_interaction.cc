#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <cstdint>
#include <tuple>

#include "cc/kernels/interaction/interaction.h"
#include "cc/ops/interaction/interaction_arguments.h"
#include "cc/ops/interaction/interaction_tasks.h"
#include "cc/ops/new_tensor.h"

// CPU side of the dot interaction; its schemas are in schemas.cc beside this file and
// its meaning is documented in py/stepwell/ops/dot_interaction.py.
namespace stepwell::ops {
namespace {

using kernels::InteractionShape;

template <typename Element>
void Forward(const InteractionShape& shape, const Tensor& dense, const Tensor& sparse,
             const Tensor& output) {
  const auto* from_dense = static_cast<const Element*>(dense.data_ptr());
  const auto* from_sparse = static_cast<const Element*>(sparse.data_ptr());
  auto* to = static_cast<Element*>(output.data_ptr());
  ForSamples(dense.size(0), shape.num_pairs() * shape.dim + shape.dim,
             [&](int64_t first, int64_t last) {
               kernels::DotInteractionForward<Element>(
                   shape, last - first, from_dense + first * shape.dim,
                   from_sparse + first * shape.num_sparse * shape.dim,
                   to + first * shape.output_dim());
             });
}

template <typename Element>
void Backward(const InteractionShape& shape, const Tensor& grad, const Tensor& dense,
              const Tensor& sparse, const Tensor& dense_grad,
              const Tensor& sparse_grad) {
  const auto* from_grad = static_cast<const Element*>(grad.data_ptr());
  const auto* from_dense = static_cast<const Element*>(dense.data_ptr());
  const auto* from_sparse = static_cast<const Element*>(sparse.data_ptr());
  auto* to_dense = static_cast<Element*>(dense_grad.data_ptr());
  auto* to_sparse = static_cast<Element*>(sparse_grad.data_ptr());
  const int64_t sparse_size = shape.num_sparse * shape.dim;
  ForSamples(dense.size(0), 2 * shape.num_pairs() * shape.dim + shape.dim,
             [&](int64_t first, int64_t last) {
               kernels::DotInteractionBackward<Element>(
                   shape, last - first, from_grad + first * shape.output_dim(),
                   from_dense + first * shape.dim, from_sparse + first * sparse_size,
                   to_dense + first * shape.dim, to_sparse + first * sparse_size);
             });
}

Tensor DotInteraction(const Tensor dense, const Tensor sparse) {
  constexpr char kOp[] = "dot_interaction";
  const InteractionShape shape = ShapeOf(kOp, dense, sparse);
  Tensor output = NewEmpty(kOp, dense, {dense.size(0), shape.output_dim()});
  ForElementOf(dense, [&]<typename Element>(Element*) {
    Forward<Element>(shape, dense, sparse, output);
  });
  return output;
}

std::tuple<Tensor, Tensor> DotInteractionBackward(const Tensor grad, const Tensor dense,
                                                  const Tensor sparse) {
  constexpr char kOp[] = "dot_interaction_backward";
  const InteractionShape shape = ShapeOf(kOp, dense, sparse);
  CheckInteractionGrad(kOp, grad, dense, shape);
  const int64_t batch = dense.size(0);
  Tensor dense_grad = NewEmpty(kOp, dense, {batch, shape.dim});
  Tensor sparse_grad = NewEmpty(kOp, sparse, {batch, shape.num_sparse, shape.dim});
  ForElementOf(dense, [&]<typename Element>(Element*) {
    Backward<Element>(shape, grad, dense, sparse, dense_grad, sparse_grad);
  });
  return {dense_grad, sparse_grad};
}

STABLE_TORCH_LIBRARY_IMPL(stepwell, CPU, m) {
  m.impl("dot_interaction", TORCH_BOX(&DotInteraction));
  m.impl("dot_interaction_backward", TORCH_BOX(&DotInteractionBackward));
}

}  // namespace
}  // namespace stepwell::ops
