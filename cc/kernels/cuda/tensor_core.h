#ifndef CC_KERNELS_CUDA_TENSOR_CORE_H_
#define CC_KERNELS_CUDA_TENSOR_CORE_H_

#include <cuda_runtime_api.h>

#include <cstdint>

#if defined(STEPWELL_CUDA_EMULATOR)
#include "cc/kernels/cuda_emulator/tensor_core.h"
#else

// Instructions of sm_80 and later that C++ has no name for. What each lane holds is in
// the PTX manual's "Matrix fragments for mma.m16n8k16" and "ldmatrix"; in short, with
// g = lane / 4 and t = lane % 4:
//   A [16, 16]: a0 = (g, 2t..2t+1)  a1 = (g+8, 2t..)  a2 = (g, 2t+8..)  a3 = (g+8,
//   2t+8..) B [16, 8]:  b0 = (2t..2t+1, g)  b1 = (2t+8..2t+9, g) C [16, 8]:  c0, c1 =
//   (g, 2t..2t+1)  c2, c3 = (g+8, 2t..2t+1) ldmatrix:   lanes 8i .. 8i+7 point to the
//   rows of matrix i; register i of a lane
//               is (g, 2t..2t+1) of it, of its transpose for LoadMatricesTransposed.
namespace stepwell::kernels::cuda {

__device__ __forceinline__ unsigned SharedAddress(const void* shared) {
  return static_cast<unsigned>(__cvta_generic_to_shared(shared));
}

// sum += A * B in float32 of bfloat16.
__device__ __forceinline__ void MultiplyAdd(float (&sum)[4], const unsigned (&a)[4],
                                            unsigned b0, unsigned b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Four 8 x 8 matrices of 16-bit elements; `row` is this lane's row of 16 bytes.
__device__ __forceinline__ void LoadMatrices(unsigned (&to)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(SharedAddress(row))
               : "memory");
}

__device__ __forceinline__ void LoadMatricesTransposed(unsigned (&to)[4],
                                                       const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(SharedAddress(row))
               : "memory");
}

// Starts a copy of 16 bytes from global to shared memory, both aligned to 16.
__device__ __forceinline__ void CopyAsync16(void* to, const void* from) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;"
               :
               : "r"(SharedAddress(to)), "l"(from)
               : "memory");
}

__device__ __forceinline__ void CommitCopies() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}

// Waits for this thread's committed copies; other threads need a barrier besides.
__device__ __forceinline__ void WaitForCopies() {
  asm volatile("cp.async.wait_group 0;" ::: "memory");
}

}  // namespace stepwell::kernels::cuda

#endif  // STEPWELL_CUDA_EMULATOR
#endif  // CC_KERNELS_CUDA_TENSOR_CORE_H_
