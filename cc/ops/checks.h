#ifndef CC_OPS_CHECKS_H_
#define CC_OPS_CHECKS_H_

#include <torch/csrc/stable/tensor.h>

#include <cstdint>
#include <sstream>
#include <stdexcept>
#include <string>

// Checks shared by the ops: each says the op, the argument, what was expected and what
// came. Header-only, for the CPU and the CUDA library.
namespace stepwell::ops {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// Throws what Python sees as a RuntimeError with the parts' text and no more: torch's
// own STD_TORCH_CHECK puts the C++ function, file and line before it.
template <typename... Parts>
[[noreturn]] void Fail(const Parts&... parts) {
  std::ostringstream text;
  ((text << parts), ...);
  throw std::runtime_error(text.str());
}

// The parts are put together only when the condition is false.
#define STEPWELL_OP_CHECK(condition, ...)                 \
  do {                                                    \
    if (!(condition)) ::stepwell::ops::Fail(__VA_ARGS__); \
  } while (false)

inline std::string DtypeName(ScalarType dtype) {
  switch (dtype) {
    case ScalarType::Float:
      return "float32";
    case ScalarType::Double:
      return "float64";
    case ScalarType::Half:
      return "float16";
    case ScalarType::BFloat16:
      return "bfloat16";
    case ScalarType::Int:
      return "int32";
    case ScalarType::Long:
      return "int64";
    case ScalarType::Byte:
      return "uint8";
    case ScalarType::Char:
      return "int8";
    case ScalarType::Short:
      return "int16";
    case ScalarType::Bool:
      return "bool";
    default:
      return "ScalarType " + std::to_string(static_cast<int>(dtype));
  }
}

inline void CheckFloat32(const char* op, const std::string& name,
                         const Tensor& tensor) {
  STEPWELL_OP_CHECK(tensor.scalar_type() == ScalarType::Float, op, ": ", name,
                    " must be float32, got ", DtypeName(tensor.scalar_type()));
}

inline void CheckRank(const char* op, const std::string& name, const Tensor& tensor,
                      int64_t rank) {
  STEPWELL_OP_CHECK(tensor.dim() == rank, op, ": ", name, " must have ", rank,
                    " dimensions, got ", tensor.dim());
}

inline void CheckSize(const char* op, const std::string& name, const Tensor& tensor,
                      int64_t dimension, int64_t expected) {
  STEPWELL_OP_CHECK(tensor.size(dimension) == expected, op, ": ", name,
                    " must have size ", expected, " in dimension ", dimension, ", got ",
                    tensor.size(dimension));
}

inline void CheckContiguous(const char* op, const std::string& name,
                            const Tensor& tensor) {
  STEPWELL_OP_CHECK(tensor.is_contiguous(), op, ": ", name,
                    " must be contiguous; call .contiguous() first");
}

inline std::string DeviceName(const Tensor& tensor) {
  if (!tensor.is_cuda()) return "cpu";
  return "cuda:" + std::to_string(tensor.get_device_index());
}

// All tensors of one call must be where the kernel runs.
inline void CheckDevice(const char* op, const std::string& name, const Tensor& tensor,
                        const Tensor& first) {
  STEPWELL_OP_CHECK(tensor.is_cuda() == first.is_cuda() &&
                        tensor.get_device_index() == first.get_device_index(),
                    op, ": ", name, " must be on ", DeviceName(first),
                    " like the other tensors, got ", DeviceName(tensor));
}

// A packed float32 tensor of the given rank on the device of `first`.
inline void CheckFloatTensor(const char* op, const std::string& name,
                             const Tensor& tensor, int64_t rank, const Tensor& first) {
  CheckRank(op, name, tensor, rank);
  CheckFloat32(op, name, tensor);
  CheckContiguous(op, name, tensor);
  CheckDevice(op, name, tensor, first);
}

}  // namespace stepwell::ops

#endif  // CC_OPS_CHECKS_H_
