#ifndef CC_KERNELS_CUDA_EMULATOR_INCLUDE_CUDA_BF16_H_
#define CC_KERNELS_CUDA_EMULATOR_INCLUDE_CUDA_BF16_H_

#include <cuda_runtime_api.h>

// The part of CUDA's header of this name that the kernels use.

struct __nv_bfloat16 {
  uint16_t bits;
};
struct alignas(4) __nv_bfloat162 {
  __nv_bfloat16 x, y;
};

inline float __bfloat162float(__nv_bfloat16 value) {
  return __uint_as_float(static_cast<unsigned>(value.bits) << 16);
}

// Rounds to nearest, ties to even; a NaN stays one.
inline __nv_bfloat16 __float2bfloat16_rn(float value) {
  const unsigned bits = __float_as_uint(value);
  if (value != value) return {0x7FFF};
  return {static_cast<uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16)};
}

inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y) {
  return {__float2bfloat16_rn(x), __float2bfloat16_rn(y)};
}

#endif  // CC_KERNELS_CUDA_EMULATOR_INCLUDE_CUDA_BF16_H_
