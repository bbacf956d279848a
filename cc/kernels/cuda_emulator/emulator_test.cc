#include "cc/kernels/cuda_emulator/emulator.h"

#include <cuda_bf16.h>
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "cc/kernels/cuda/elements.h"
#include "cc/kernels/cuda/launch.h"
#include "cc/kernels/cuda/tensor_core.h"

// The emulator itself: what it runs must be right, what it checks must be found.
namespace stepwell::kernels::cuda {
namespace {

__global__ void ReverseKernel(const int* from, int* to) {
  STEPWELL_DYNAMIC_SHARED(shared);
  int* values = reinterpret_cast<int*>(shared);
  values[threadIdx.x] = from[blockIdx.x * blockDim.x + threadIdx.x];
  __syncthreads();
  to[blockIdx.x * blockDim.x + threadIdx.x] = values[blockDim.x - 1 - threadIdx.x];
}

TEST(EmulatorTest, ABarrierLetsThreadsReadWhatOthersWrote) {
  constexpr int kBlocks = 3;
  constexpr int kThreads = 96;
  std::vector<int> from(kBlocks * kThreads);
  for (int k = 0; k < kBlocks * kThreads; ++k) from[k] = k;
  std::vector<int> to(from.size(), -1);
  ASSERT_EQ(Launch(ReverseKernel, {kBlocks, kThreads, kThreads * sizeof(int)}, nullptr,
                   from.data(), to.data()),
            cudaSuccess);
  for (int k = 0; k < kBlocks * kThreads; ++k) {
    EXPECT_EQ(to[k], k / kThreads * kThreads + kThreads - 1 - k % kThreads);
  }
}

__global__ void WarpSumKernel(float* sums) {
  sums[threadIdx.x] = WarpSum(static_cast<float>(threadIdx.x));
}

TEST(EmulatorTest, ShufflesExchangeWithinAWarp) {
  std::vector<float> sums(64);
  ASSERT_EQ(Launch(WarpSumKernel, {1, 64, 0}, nullptr, sums.data()), cudaSuccess);
  for (int k = 0; k < 64; ++k) EXPECT_EQ(sums[k], k < 32 ? 496.0f : 1520.0f);
}

__global__ void HalfAWarpWaitsKernel() {
  if (threadIdx.x < 16) __syncwarp();
}

TEST(EmulatorTest, AWarpOperationThatLanesDoNotReachFails) {
  EXPECT_EQ(Launch(HalfAWarpWaitsKernel, {1, 32, 0}, nullptr), cudaErrorLaunchFailure);
}

__global__ void DifferentOperationsKernel() {
  if (threadIdx.x < 16) {
    __syncwarp();
  } else {
    __shfl_xor_sync(kWholeWarp, 1, 1);
  }
}

TEST(EmulatorTest, DifferentWarpOperationsAtOnceFail) {
  EXPECT_EQ(Launch(DifferentOperationsKernel, {1, 32, 0}, nullptr),
            cudaErrorLaunchFailure);
}

__global__ void TrapKernel(int* reached) {
  if (threadIdx.x == 5) __trap();
  __syncthreads();
  *reached = 1;
}

TEST(EmulatorTest, ATrapFailsTheLaunch) {
  int reached = 0;
  EXPECT_EQ(Launch(TrapKernel, {1, 32, 0}, nullptr, &reached), cudaErrorLaunchFailure);
  EXPECT_EQ(reached, 0);
}

__global__ void WritePastSharedKernel(int bytes) {
  STEPWELL_DYNAMIC_SHARED(shared);
  unsigned char* volatile past = shared + bytes;
  if (threadIdx.x == 0) *past = 1;
}

TEST(EmulatorTest, AWritePastSharedMemoryFails) {
  EXPECT_EQ(Launch(WritePastSharedKernel, {1, 32, 128}, nullptr, 127), cudaSuccess);
  EXPECT_EQ(Launch(WritePastSharedKernel, {1, 32, 128}, nullptr, 128),
            cudaErrorLaunchFailure);
}

TEST(EmulatorTest, LaunchesPastTheHardwaresLimitsFail) {
  EXPECT_EQ(Launch(HalfAWarpWaitsKernel, {1, 2048, 0}, nullptr),
            cudaErrorLaunchFailure);
  EXPECT_EQ(Launch(WritePastSharedKernel, {1, 32, 228 * 1024}, nullptr, 0),
            cudaErrorInvalidValue);
  EXPECT_EQ(Launch(WritePastSharedKernel, {1, 32, 227 * 1024}, nullptr, 0),
            cudaSuccess);
}

__global__ void CopyKernel(const uint16_t* from, uint16_t* to, bool waits) {
  STEPWELL_DYNAMIC_SHARED(shared);
  uint16_t* values = reinterpret_cast<uint16_t*>(shared);
  CopyAsync16(values + threadIdx.x * 8, from + threadIdx.x * 8);
  CommitCopies();
  if (waits) WaitForCopies();
  __syncwarp();
  to[threadIdx.x] = values[threadIdx.x];
}

TEST(EmulatorTest, ACopyIsThereOnlyAfterItsWait) {
  alignas(16) uint16_t from[256];
  for (int k = 0; k < 256; ++k) from[k] = static_cast<uint16_t>(k);
  std::vector<uint16_t> to(32);
  for (const bool waits : {true, false}) {
    ASSERT_EQ(Launch(CopyKernel, {1, 32, sizeof(from)}, nullptr,
                     static_cast<const uint16_t*>(from), to.data(), waits),
              cudaSuccess);
    for (int k = 0; k < 32; ++k) EXPECT_EQ(to[k], waits ? k : 0xFFFF);
  }
}

// C [16, 8] = A [16, 16] * B [16, 8], with B as it is or as its transpose in memory.
__global__ void ProductKernel(const __nv_bfloat16* a, const __nv_bfloat16* b,
                              bool transposed, float* c) {
  STEPWELL_DYNAMIC_SHARED(shared);
  __nv_bfloat16* rows = reinterpret_cast<__nv_bfloat16*>(shared);
  const int lane = static_cast<int>(threadIdx.x);
  for (int k = lane; k < 256; k += 32) {
    rows[k] = a[k];
    rows[256 + k] = b[k];
  }
  __syncwarp();
  unsigned left[4];
  unsigned right[4];
  LoadMatrices(left, rows + lane % 16 * 16 + lane / 16 * 8);
  const __nv_bfloat16* row = rows + 256 + lane % 16 * 16 + lane / 16 * 8;
  // A [n, k] matrix gives B's registers 0 and 2, a [k, n] one transposed 0 and 1.
  if (transposed) {
    LoadMatricesTransposed(right, row);
  } else {
    LoadMatrices(right, row);
  }
  float sums[4] = {};
  MultiplyAdd(sums, left, right[0], transposed ? right[1] : right[2]);
  for (int k = 0; k < 4; ++k) {
    c[(lane / 4 + k / 2 * 8) * 8 + lane % 4 * 2 + k % 2] = sums[k];
  }
}

TEST(EmulatorTest, TensorCoresMultiplyMatrices) {
  __nv_bfloat16 a[256];
  __nv_bfloat16 b[256];
  for (int k = 0; k < 256; ++k) {
    a[k] = __float2bfloat16_rn(static_cast<float>(k % 19 - 9));
    b[k] = __float2bfloat16_rn(static_cast<float>(k % 23 - 11));
  }
  for (const bool transposed : {false, true}) {
    float c[128] = {};
    ASSERT_EQ(Launch(ProductKernel, {1, 32, 1024}, nullptr,
                     static_cast<const __nv_bfloat16*>(a),
                     static_cast<const __nv_bfloat16*>(b), transposed,
                     static_cast<float*>(c)),
              cudaSuccess);
    for (int i = 0; i < 16; ++i) {
      for (int j = 0; j < 8; ++j) {
        float expected = 0.0f;
        for (int k = 0; k < 16; ++k) {
          const int at = transposed ? k * 16 + j : j * 16 + k;
          expected += __bfloat162float(a[i * 16 + k]) * __bfloat162float(b[at]);
        }
        EXPECT_EQ(c[i * 8 + j], expected) << i << " " << j;
      }
    }
  }
}

TEST(EmulatorTest, SixteenBitTypesRoundToNearestEven) {
  EXPECT_EQ(__float2bfloat16_rn(1.00390625f).bits, 0x3F80);  // halfway, even below
  EXPECT_EQ(__float2bfloat16_rn(1.01171875f).bits, 0x3F82);  // halfway, even above
  EXPECT_EQ(__float2half_rn(65519.0f).bits, 0x7BFF);
  EXPECT_EQ(__float2half_rn(65520.0f).bits, 0x7C00);
}

}  // namespace
}  // namespace stepwell::kernels::cuda
