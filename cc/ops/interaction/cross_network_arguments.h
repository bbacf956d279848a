#ifndef CC_OPS_INTERACTION_CROSS_NETWORK_ARGUMENTS_H_
#define CC_OPS_INTERACTION_CROSS_NETWORK_ARGUMENTS_H_

#include <torch/csrc/stable/tensor.h>

#include "cc/kernels/interaction/cross_network.h"
#include "cc/ops/checks.h"

// Checks of the cross network. Header-only, for the CPU and the CUDA library.
namespace stepwell::ops {

// All four tensors are float32, or all bfloat16.
inline kernels::CrossNetworkShape CrossNetworkShapeOf(const Tensor& x,
                                                      const Tensor& down,
                                                      const Tensor& up,
                                                      const Tensor& bias) {
  constexpr char kOp[] = "cross_network";
  const ScalarType dtype = x.scalar_type();
  STEPWELL_OP_CHECK(dtype == ScalarType::Float || dtype == ScalarType::BFloat16, kOp,
                    ": x must be float32 or bfloat16, got ", DtypeName(dtype));
  const auto check = [&](const char* name, const Tensor& tensor, int64_t rank) {
    CheckRank(kOp, name, tensor, rank);
    STEPWELL_OP_CHECK(tensor.scalar_type() == dtype, kOp, ": ", name, " must be ",
                      DtypeName(dtype), " as x is, got ",
                      DtypeName(tensor.scalar_type()));
    CheckContiguous(kOp, name, tensor);
    CheckDevice(kOp, name, tensor, x);
  };
  check("x", x, 2);
  check("down", down, 3);
  check("up", up, 3);
  check("bias", bias, 2);
  const kernels::CrossNetworkShape shape = {down.size(0), x.size(1), down.size(2)};
  CheckSize(kOp, "down", down, 1, shape.width);
  CheckSize(kOp, "up", up, 0, shape.num_layers);
  CheckSize(kOp, "up", up, 1, shape.rank);
  CheckSize(kOp, "up", up, 2, shape.width);
  CheckSize(kOp, "bias", bias, 0, shape.num_layers);
  CheckSize(kOp, "bias", bias, 1, shape.width);
  return shape;
}

}  // namespace stepwell::ops

#endif  // CC_OPS_INTERACTION_CROSS_NETWORK_ARGUMENTS_H_
