#ifndef CC_OPS_INTERACTION_CROSS_NETWORK_ARGUMENTS_H_
#define CC_OPS_INTERACTION_CROSS_NETWORK_ARGUMENTS_H_

#include <torch/csrc/stable/tensor.h>

#include "cc/kernels/interaction/cross_network.h"
#include "cc/ops/checks.h"

// Checks of the cross network. Header-only, for the CPU and the CUDA library.
namespace stepwell::ops {

// A packed tensor of the given rank, in the dtype and on the device of `x`.
inline void CheckAlike(const char* op, const char* name, const Tensor& tensor,
                       int64_t rank, const Tensor& x) {
  CheckRank(op, name, tensor, rank);
  STEPWELL_OP_CHECK(tensor.scalar_type() == x.scalar_type(), op, ": ", name,
                    " must be ", DtypeName(x.scalar_type()), " as x is, got ",
                    DtypeName(tensor.scalar_type()));
  CheckContiguous(op, name, tensor);
  CheckDevice(op, name, tensor, x);
}

// All four tensors are float32, or all bfloat16.
inline kernels::CrossNetworkShape CrossNetworkShapeOf(
    const Tensor& x, const Tensor& down, const Tensor& up, const Tensor& bias,
    const char* op = "cross_network") {
  const ScalarType dtype = x.scalar_type();
  STEPWELL_OP_CHECK(dtype == ScalarType::Float || dtype == ScalarType::BFloat16, op,
                    ": x must be float32 or bfloat16, got ", DtypeName(dtype));
  CheckAlike(op, "x", x, 2, x);
  CheckAlike(op, "down", down, 3, x);
  CheckAlike(op, "up", up, 3, x);
  CheckAlike(op, "bias", bias, 2, x);
  const kernels::CrossNetworkShape shape = {down.size(0), x.size(1), down.size(2)};
  CheckSize(op, "down", down, 1, shape.width);
  CheckSize(op, "up", up, 0, shape.num_layers);
  CheckSize(op, "up", up, 1, shape.rank);
  CheckSize(op, "up", up, 2, shape.width);
  CheckSize(op, "bias", bias, 0, shape.num_layers);
  CheckSize(op, "bias", bias, 1, shape.width);
  return shape;
}

inline void CheckCrossNetworkGrad(const char* op, const Tensor& grad, const Tensor& x) {
  CheckAlike(op, "grad", grad, 2, x);
  CheckSize(op, "grad", grad, 0, x.size(0));
  CheckSize(op, "grad", grad, 1, x.size(1));
}

}  // namespace stepwell::ops

#endif  // CC_OPS_INTERACTION_CROSS_NETWORK_ARGUMENTS_H_
