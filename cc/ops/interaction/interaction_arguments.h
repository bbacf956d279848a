#ifndef CC_OPS_INTERACTION_INTERACTION_ARGUMENTS_H_
#define CC_OPS_INTERACTION_INTERACTION_ARGUMENTS_H_

#include <torch/csrc/stable/tensor.h>

#include "cc/kernels/interaction/interaction.h"
#include "cc/ops/checks.h"

// From the tensors of an interaction op to the structs of its kernels. Header-only, for
// the CPU and the CUDA library.
namespace stepwell::ops {

inline kernels::InteractionShape ShapeOf(const char* op, const Tensor& dense,
                                         const Tensor& sparse) {
  CheckFloatTensor(op, "dense", dense, 2, dense);
  CheckFloatTensor(op, "sparse", sparse, 3, dense);
  CheckSize(op, "sparse", sparse, 0, dense.size(0));
  CheckSize(op, "sparse", sparse, 2, dense.size(1));
  return {sparse.size(1), sparse.size(2)};
}

inline void CheckInteractionGrad(const char* op, const Tensor& grad,
                                 const Tensor& dense,
                                 const kernels::InteractionShape& shape) {
  CheckFloatTensor(op, "grad", grad, 2, dense);
  CheckSize(op, "grad", grad, 0, dense.size(0));
  CheckSize(op, "grad", grad, 1, shape.output_dim());
}

}  // namespace stepwell::ops

#endif  // CC_OPS_INTERACTION_INTERACTION_ARGUMENTS_H_
