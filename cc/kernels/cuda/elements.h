#ifndef CC_KERNELS_CUDA_ELEMENTS_H_
#define CC_KERNELS_CUDA_ELEMENTS_H_

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime_api.h>

#include <cstdint>

// The floating-point types of tensors in device memory, and how they become float.
namespace stepwell::kernels::cuda {

enum class ElementType { kFloat32, kFloat16, kBfloat16 };

__device__ __forceinline__ float ToFloat(float value) { return value; }
__device__ __forceinline__ float ToFloat(__half value) { return __half2float(value); }
__device__ __forceinline__ float ToFloat(__nv_bfloat16 value) {
  return __bfloat162float(value);
}

__device__ __forceinline__ void FromFloat(float value, float& to) { to = value; }
__device__ __forceinline__ void FromFloat(float value, __half& to) {
  to = __float2half_rn(value);
}
__device__ __forceinline__ void FromFloat(float value, __nv_bfloat16& to) {
  to = __float2bfloat16_rn(value);
}

// Some elements that are loaded and stored as one piece of up to 16 bytes.
template <typename T, int kCount>
struct alignas(sizeof(T) * kCount) Pack {
  T at[kCount];
};

// Loads for data that is read once: they pass by the first cache's read-only path.
template <typename T, int kCount>
__device__ __forceinline__ Pack<T, kCount> LoadOnce(const void* from) {
#if defined(STEPWELL_CUDA_EMULATOR)
  return *static_cast<const Pack<T, kCount>*>(from);
#else
  constexpr int kBytes = sizeof(Pack<T, kCount>);
  Pack<T, kCount> pack;
  if constexpr (kBytes == 16) {
    uint4& bits = reinterpret_cast<uint4&>(pack);
    asm("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
        : "=r"(bits.x), "=r"(bits.y), "=r"(bits.z), "=r"(bits.w)
        : "l"(from));
  } else if constexpr (kBytes == 8) {
    uint2& bits = reinterpret_cast<uint2&>(pack);
    asm("ld.global.nc.L1::no_allocate.v2.u32 {%0, %1}, [%2];"
        : "=r"(bits.x), "=r"(bits.y)
        : "l"(from));
  } else if constexpr (kBytes == 4) {
    asm("ld.global.nc.L1::no_allocate.u32 %0, [%1];"
        : "=r"(reinterpret_cast<unsigned&>(pack))
        : "l"(from));
  } else {
    pack = *static_cast<const Pack<T, kCount>*>(from);
  }
  return pack;
#endif
}

// Stores results that this kernel does not read again: first to leave the caches.
template <typename T, int kCount>
__device__ __forceinline__ void StoreOnce(void* to, const Pack<T, kCount>& pack) {
#if defined(STEPWELL_CUDA_EMULATOR)
  *static_cast<Pack<T, kCount>*>(to) = pack;
#else
  constexpr int kBytes = sizeof(Pack<T, kCount>);
  if constexpr (kBytes == 16) {
    __stcs(static_cast<uint4*>(to), reinterpret_cast<const uint4&>(pack));
  } else if constexpr (kBytes == 8) {
    __stcs(static_cast<uint2*>(to), reinterpret_cast<const uint2&>(pack));
  } else if constexpr (kBytes == 4) {
    __stcs(static_cast<unsigned*>(to), reinterpret_cast<const unsigned&>(pack));
  } else {
    *static_cast<Pack<T, kCount>*>(to) = pack;
  }
#endif
}

// The sum of `value` over the lanes of a whole warp, in every lane.
__device__ __forceinline__ float WarpSum(float value) {
  for (int step = 16; step > 0; step /= 2) {
    value += __shfl_xor_sync(0xFFFFFFFFu, value, step);
  }
  return value;
}

}  // namespace stepwell::kernels::cuda

#endif  // CC_KERNELS_CUDA_ELEMENTS_H_
