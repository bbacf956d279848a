#ifndef CC_KERNELS_CUDA_EMULATOR_INCLUDE_CUDA_RUNTIME_API_H_
#define CC_KERNELS_CUDA_EMULATOR_INCLUDE_CUDA_RUNTIME_API_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>

#include "cc/kernels/cuda_emulator/emulator.h"

// What the kernels of this tree use of CUDA's language and runtime, on the emulator.
// Stands in for CUDA's header of the same name.

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __grid_constant__
#define __launch_bounds__(...)
// One block runs at a time and its threads share the process.
#define __shared__ static

#define threadIdx (::stepwell::cuda_emulator::position.thread)
#define blockIdx (::stepwell::cuda_emulator::position.block)
#define blockDim (::stepwell::cuda_emulator::position.block_size)
#define gridDim (::stepwell::cuda_emulator::position.grid_size)

struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) {
  return {x, y, z, w};
}

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorLaunchFailure = 719,
};
using cudaStream_t = void*;

inline const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorInvalidConfiguration:
      return "invalid configuration argument";
    default:
      return "unspecified launch failure";
  }
}

enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize };

template <typename... Parameters>
cudaError_t cudaFuncSetAttribute(void (*kernel)(Parameters...), cudaFuncAttribute,
                                 int bytes) {
  return stepwell::cuda_emulator::AllowSharedBytes(
             reinterpret_cast<const void*>(kernel), bytes)
             ? cudaSuccess
             : cudaErrorInvalidValue;
}

inline void __syncthreads() { stepwell::cuda_emulator::SyncThreads(); }
[[noreturn]] inline void __trap() { stepwell::cuda_emulator::Trap(); }
inline void __syncwarp() {
  stepwell::cuda_emulator::WarpExchange("__syncwarp", nullptr, 0);
}

namespace stepwell::cuda_emulator {

// The value of lane `source`. Only whole warps are emulated.
template <typename T>
T Shuffle(const char* operation, unsigned mask, T value, unsigned source) {
  if (mask != 0xFFFFFFFFu) Trap();
  const unsigned char* slots = WarpExchange(operation, &value, sizeof(T));
  T found;
  std::memcpy(&found, slots + source * sizeof(T), sizeof(T));
  return found;
}

}  // namespace stepwell::cuda_emulator

template <typename T>
T __shfl_sync(unsigned mask, T value, int lane) {
  return stepwell::cuda_emulator::Shuffle("__shfl_sync", mask, value, lane & 31);
}

template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int lanes) {
  const unsigned lane = threadIdx.x % 32;
  return stepwell::cuda_emulator::Shuffle("__shfl_xor_sync", mask, value,
                                          (lane ^ static_cast<unsigned>(lanes)) & 31);
}

template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta) {
  const unsigned lane = threadIdx.x % 32;
  const unsigned source = lane >= delta ? lane - delta : lane;
  return stepwell::cuda_emulator::Shuffle("__shfl_up_sync", mask, value, source);
}

template <typename T>
T __ldg(const T* at) {
  return *at;
}
template <typename T>
T __ldcs(const T* at) {
  return *at;
}
template <typename T>
void __stcs(T* at, T value) {
  *at = value;
}

template <typename T>
T atomicAdd(T* at, T value) {
  const T before = *at;
  *at = before + value;
  return before;
}
inline float4 atomicAdd(float4* at, float4 value) {
  const float4 before = *at;
  *at = {before.x + value.x, before.y + value.y, before.z + value.z,
         before.w + value.w};
  return before;
}

inline unsigned __float_as_uint(float value) {
  unsigned bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}
inline float __uint_as_float(unsigned bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}
// With -ffp-contract=off these are single operations, as on the GPU.
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fsqrt_rn(float a) { return std::sqrt(a); }
inline float __int_as_float(int bits) {
  return __uint_as_float(static_cast<unsigned>(bits));
}

using std::max;
using std::min;

#endif  // CC_KERNELS_CUDA_EMULATOR_INCLUDE_CUDA_RUNTIME_API_H_
