#ifndef CC_KERNELS_CUDA_LAUNCH_H_
#define CC_KERNELS_CUDA_LAUNCH_H_

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

// The few places where CUDA needs syntax that a C++ compiler does not know. With them
// here, the kernels' files compile as C++ too, for the emulator of
// cc/kernels/cuda_emulator.

#if defined(STEPWELL_CUDA_EMULATOR)

#define STEPWELL_NOINLINE [[gnu::noinline]]
#define STEPWELL_UNROLL
#define STEPWELL_DYNAMIC_SHARED(name) \
  unsigned char* const name = ::stepwell::cuda_emulator::DynamicShared()

#else

#define STEPWELL_NOINLINE __noinline__
#define STEPWELL_UNROLL _Pragma("unroll")
// The block's dynamic shared memory as bytes, aligned for 16-byte vectors. `name` must
// differ between kernels of one file.
#define STEPWELL_DYNAMIC_SHARED(name) \
  extern __shared__ __align__(16) unsigned char name[]

#endif

namespace stepwell::kernels::cuda {

constexpr int kWarp = 32;
constexpr unsigned kWholeWarp = 0xFFFFFFFFu;

struct LaunchSizes {
  int64_t blocks;
  int threads;
  int64_t shared_bytes;
};

// Allows a kernel the dynamic shared memory it needs: past 48 KiB, with its static
// arrays counted in, it must be asked for. Those of this tree are smaller than what is
// left.
template <typename... Parameters>
cudaError_t AllowSharedBytes(void (*kernel)(Parameters...), int64_t bytes) {
  constexpr int64_t kAlwaysAllowed = 40 * 1024;
  if (bytes <= kAlwaysAllowed) return cudaSuccess;
  if (bytes > INT32_MAX) return cudaErrorInvalidValue;
  return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                              static_cast<int>(bytes));
}

// Enqueues kernel(arguments...) on `stream` and returns the launch's error; no block at
// all is no work.
template <typename... Parameters, typename... Arguments>
cudaError_t Launch(void (*kernel)(Parameters...), const LaunchSizes& sizes,
                   cudaStream_t stream, const Arguments&... arguments) {
  if (sizes.blocks == 0) return cudaSuccess;
  if (sizes.blocks > INT32_MAX) return cudaErrorInvalidConfiguration;
  const cudaError_t allowed = AllowSharedBytes(kernel, sizes.shared_bytes);
  if (allowed != cudaSuccess) return allowed;
#if defined(STEPWELL_CUDA_EMULATOR)
  (void)stream;
  const bool succeeded = cuda_emulator::Run(
      {{static_cast<unsigned>(sizes.blocks), 1, 1},
       {static_cast<unsigned>(sizes.threads), 1, 1},
       static_cast<size_t>(sizes.shared_bytes)},
      reinterpret_cast<const void*>(kernel), [&] { kernel(arguments...); });
  return succeeded ? cudaSuccess : cudaErrorLaunchFailure;
#else
  kernel<<<static_cast<unsigned>(sizes.blocks), static_cast<unsigned>(sizes.threads),
           static_cast<size_t>(sizes.shared_bytes), stream>>>(arguments...);
  return cudaGetLastError();
#endif
}

inline int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace stepwell::kernels::cuda

#endif  // CC_KERNELS_CUDA_LAUNCH_H_
