#ifndef CC_KERNELS_CUDA_EMULATOR_INCLUDE_CUDA_FP16_H_
#define CC_KERNELS_CUDA_EMULATOR_INCLUDE_CUDA_FP16_H_

#include <cuda_runtime_api.h>

// The part of CUDA's header of this name that the kernels use; the compiler's own type
// converts.

struct __half {
  uint16_t bits;
};

inline float __half2float(__half value) {
  _Float16 half;
  std::memcpy(&half, &value.bits, sizeof(half));
  return static_cast<float>(half);
}

inline __half __float2half_rn(float value) {
  const _Float16 half = static_cast<_Float16>(value);
  __half result;
  std::memcpy(&result.bits, &half, sizeof(half));
  return result;
}

#endif  // CC_KERNELS_CUDA_EMULATOR_INCLUDE_CUDA_FP16_H_
