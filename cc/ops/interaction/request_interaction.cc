#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <cstdint>

#include "cc/kernels/interaction/interaction.h"
#include "cc/ops/interaction/interaction_arguments.h"
#include "cc/ops/interaction/interaction_tasks.h"
#include "cc/ops/new_tensor.h"

// CPU side of the request interaction; its schema is in schemas.cc beside this file and
// its meaning is documented in py/stepwell/ops/request_interaction.py.
namespace stepwell::ops {
namespace {

using kernels::RequestShape;

template <typename Element>
void Forward(const RequestShape& shape, const Tensor& user, const Tensor& items,
             const Tensor& output) {
  const auto* from_user = static_cast<const Element*>(user.data_ptr());
  const auto* from_items = static_cast<const Element*>(items.data_ptr());
  auto* to = static_cast<Element*>(output.data_ptr());
  const int64_t products = shape.num_items * shape.num_vectors() * shape.dim;
  ForSamples(items.size(0), products + shape.output_dim(),
             [&](int64_t first, int64_t last) {
               kernels::RequestInteractionForward<Element>(
                   shape, last - first, from_user,
                   from_items + first * shape.num_items * shape.dim,
                   to + first * shape.output_dim());
             });
}

Tensor RequestInteraction(const Tensor user, const Tensor items) {
  constexpr char kOp[] = "request_interaction";
  const RequestShape shape = RequestShapeOf(kOp, user, items);
  Tensor output = NewEmpty(kOp, items, {items.size(0), shape.output_dim()});
  ForElementOf(items, [&]<typename Element>(Element*) {
    Forward<Element>(shape, user, items, output);
  });
  return output;
}

STABLE_TORCH_LIBRARY_IMPL(stepwell, CPU, m) {
  m.impl("request_interaction", TORCH_BOX(&RequestInteraction));
}

}  // namespace
}  // namespace stepwell::ops
