#ifndef CC_OPS_CUDA_STREAM_H_
#define CC_OPS_CUDA_STREAM_H_

#include <cuda_runtime_api.h>
#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/tensor.h>

#include "cc/ops/checks.h"

// What every CUDA op needs around its launch. For the CUDA library, and for the library
// of the same ops on the emulator, which serves CPU tensors.
namespace stepwell::ops {

#if defined(STEPWELL_CUDA_EMULATOR)

#define STEPWELL_CUDA_DISPATCH_KEY CPU

class CudaScope {
 public:
  explicit CudaScope(const Tensor& tensor) { (void)tensor; }
  cudaStream_t stream() const { return nullptr; }
};

#else

#define STEPWELL_CUDA_DISPATCH_KEY CUDA

// Makes a tensor's device the current one while it lives, and knows torch's stream
// there.
class CudaScope {
 public:
  explicit CudaScope(const Tensor& tensor) : guard_(tensor.get_device_index()) {
    void* stream = nullptr;
    STABLE_TORCH_ERROR_CODE_CHECK(
        aoti_torch_get_current_cuda_stream(tensor.get_device_index(), &stream));
    stream_ = static_cast<cudaStream_t>(stream);
  }

  cudaStream_t stream() const { return stream_; }

 private:
  torch::stable::accelerator::DeviceGuard guard_;
  cudaStream_t stream_ = nullptr;
};

#endif

inline void CheckLaunch(const char* op, cudaError_t error) {
  STEPWELL_OP_CHECK(error == cudaSuccess, op,
                    ": CUDA launch failed: ", cudaGetErrorString(error));
}

}  // namespace stepwell::ops

#endif  // CC_OPS_CUDA_STREAM_H_
