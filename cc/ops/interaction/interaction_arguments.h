#ifndef CC_OPS_INTERACTION_INTERACTION_ARGUMENTS_H_
#define CC_OPS_INTERACTION_INTERACTION_ARGUMENTS_H_

#include <torch/csrc/stable/tensor.h>

#include <cstdint>
#include <string>

#include "cc/kernels/interaction/interaction.h"
#include "cc/ops/checks.h"

// From the tensors of an interaction op to the structs of its kernels. Header-only, for
// the CPU and the CUDA library.
namespace stepwell::ops {

// The columns of an output fit into 64 bits with many fewer vectors than that; memory
// ends sooner still.
constexpr int64_t kMaxInteractionVectors = int64_t{1} << 30;

// A packed tensor of `first`'s dtype, float32 or bfloat16, of the given rank and on the
// same device.
inline void CheckInteractionTensor(const char* op, const std::string& name,
                                   const Tensor& tensor, int64_t rank,
                                   const std::string& first_name, const Tensor& first) {
  CheckRank(op, name, tensor, rank);
  const ScalarType dtype = first.scalar_type();
  STEPWELL_OP_CHECK(dtype == ScalarType::Float || dtype == ScalarType::BFloat16, op,
                    ": ", first_name, " must be float32 or bfloat16, got ",
                    DtypeName(dtype));
  STEPWELL_OP_CHECK(tensor.scalar_type() == dtype, op, ": ", name, " must be ",
                    DtypeName(dtype), " like ", first_name, ", got ",
                    DtypeName(tensor.scalar_type()));
  CheckContiguous(op, name, tensor);
  CheckDevice(op, name, tensor, first);
}

inline void CheckNumVectors(const char* op, const std::string& name,
                            int64_t num_vectors) {
  STEPWELL_OP_CHECK(num_vectors <= kMaxInteractionVectors, op, ": ", name,
                    " must have at most ", kMaxInteractionVectors, " vectors, got ",
                    num_vectors);
}

inline kernels::InteractionShape ShapeOf(const char* op, const Tensor& dense,
                                         const Tensor& sparse) {
  CheckInteractionTensor(op, "dense", dense, 2, "dense", dense);
  CheckInteractionTensor(op, "sparse", sparse, 3, "dense", dense);
  CheckSize(op, "sparse", sparse, 0, dense.size(0));
  CheckSize(op, "sparse", sparse, 2, dense.size(1));
  CheckNumVectors(op, "sparse", sparse.size(1));
  return {sparse.size(1), sparse.size(2)};
}

inline void CheckInteractionGrad(const char* op, const Tensor& grad,
                                 const Tensor& dense,
                                 const kernels::InteractionShape& shape) {
  CheckInteractionTensor(op, "grad", grad, 2, "dense", dense);
  CheckSize(op, "grad", grad, 0, dense.size(0));
  CheckSize(op, "grad", grad, 1, shape.output_dim());
}

inline kernels::RequestShape RequestShapeOf(const char* op, const Tensor& user,
                                            const Tensor& items) {
  CheckInteractionTensor(op, "user", user, 2, "user", user);
  CheckInteractionTensor(op, "items", items, 3, "user", user);
  CheckSize(op, "items", items, 2, user.size(1));
  STEPWELL_OP_CHECK(user.size(0) >= 1, op,
                    ": user must have its dense vector at least, got size 0 in "
                    "dimension 0");
  CheckNumVectors(op, "user", user.size(0));
  CheckNumVectors(op, "items", items.size(1));
  return {user.size(0), items.size(1), user.size(1)};
}

}  // namespace stepwell::ops

#endif  // CC_OPS_INTERACTION_INTERACTION_ARGUMENTS_H_
