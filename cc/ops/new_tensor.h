#ifndef CC_OPS_NEW_TENSOR_H_
#define CC_OPS_NEW_TENSOR_H_

#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <cstdint>
#include <exception>
#include <initializer_list>
#include <optional>
#include <sstream>

#include "cc/ops/checks.h"

// The outputs of the ops. Header-only, for the CPU and the CUDA library.
namespace stepwell::ops {

[[noreturn]] inline void FailForMemory(const char* op, ScalarType dtype,
                                       std::initializer_list<int64_t> sizes) {
  std::ostringstream shape;
  for (int64_t size : sizes) shape << (shape.tellp() > 0 ? ", " : "") << size;
  Fail(op, ": no memory for an output of ", DtypeName(dtype), " [", shape.str(), "]");
}

// Returns memory without values on the device of `like`, in its dtype unless another is
// given. A size that there is no memory for is an error of the op; what torch's stable
// ABI says of it by itself is the text of the C++ call that failed.
inline Tensor NewEmpty(const char* op, const Tensor& like,
                       std::initializer_list<int64_t> sizes,
                       std::optional<ScalarType> dtype = std::nullopt) {
  try {
    return torch::stable::new_empty(like, {sizes.begin(), sizes.size()}, dtype);
  } catch (const std::exception&) {
    FailForMemory(op, dtype.value_or(like.scalar_type()), sizes);
  }
}

// The same with zeros, in the dtype of `like`.
inline Tensor NewZeros(const char* op, const Tensor& like,
                       std::initializer_list<int64_t> sizes) {
  try {
    return torch::stable::new_zeros(like, {sizes.begin(), sizes.size()});
  } catch (const std::exception&) {
    FailForMemory(op, like.scalar_type(), sizes);
  }
}

}  // namespace stepwell::ops

#endif  // CC_OPS_NEW_TENSOR_H_
