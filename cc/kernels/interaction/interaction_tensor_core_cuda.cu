#include <cstdint>

#include "cc/kernels/cuda/elements.h"
#include "cc/kernels/cuda/launch.h"
#include "cc/kernels/cuda/tensor_core.h"
#include "cc/kernels/interaction/interaction_cuda.h"
#include "cc/kernels/interaction/interaction_warp_cuda.h"

// bfloat16 interactions on tensor cores. A warp takes a sample: it copies the vectors
// to its own piece of shared memory, so that a multiprocessor has some twenty samples
// on their way at once and needs no pipeline, multiplies 16 x 8 tiles of the lower
// triangle with mma.m16n8k16, and writes the packed row through shared memory in
// 16-byte stores.
namespace stepwell::kernels::cuda {
namespace {

// sums[m][n]: rows 16 m .., columns 8 n .. of the products of all vectors; only tiles
// that reach below the diagonal.
template <int kTiles>
__device__ __forceinline__ void MultiplyVectors(const WarpSample& sample,
                                                float (&sums)[kTiles][2 * kTiles][4]) {
  const int stride = RowStride(sample.dim);
  for (int k = 0; k < sample.dim; k += kTile) {
    unsigned rows[kTiles][4];
    STEPWELL_UNROLL
    for (int m = 0; m < kTiles; ++m) {
      LoadMatrices(rows[m], LaneRow(sample.shared, stride, m * kTile, k, sample.lane));
    }
    STEPWELL_UNROLL
    for (int m = 0; m < kTiles; ++m) {
      STEPWELL_UNROLL
      for (int n = 0; n < 2 * m + 2; ++n) {
        // The same registers serve as B: its columns are vectors as well. Even n are
        // rows 0-7 of tile n / 2, odd n rows 8-15.
        MultiplyAdd(sums[m][n], rows[m], rows[n / 2][n % 2], rows[n / 2][n % 2 + 2]);
      }
    }
  }
}

template <int kTiles>
__device__ __forceinline__ void PackDots(const WarpSample& sample,
                                         const float (&sums)[kTiles][2 * kTiles][4],
                                         Bf16* pairs) {
  const int g = sample.lane / 4;
  const int t = sample.lane % 4;
  STEPWELL_UNROLL
  for (int m = 0; m < kTiles; ++m) {
    STEPWELL_UNROLL
    for (int n = 0; n < 2 * m + 2; ++n) {
      STEPWELL_UNROLL
      for (int c = 0; c < 4; ++c) {
        const int i = m * kTile + g + c / 2 * 8;
        const int j = n * 8 + 2 * t + c % 2;
        if (j < i && i < sample.num_vectors) {
          FromFloat(sums[m][n][c], pairs[PairAt(i, j)]);
        }
      }
    }
  }
}

template <int kTiles>
__global__ void __launch_bounds__(kBlockThreads)
    TensorCoreForwardKernel(const __grid_constant__ Samples samples, Bf16* output,
                            int elements_per_warp) {
  STEPWELL_DYNAMIC_SHARED(forward_shared);
  const WarpSample sample = SampleOfWarp(samples, forward_shared, elements_per_warp);
  // Whole warps leave; nothing below waits for another warp.
  if (!sample.active) return;
  StartVectors<kTiles>(samples, sample);
  const Layout layout = LayoutOf(kTiles, sample.dim, sample.output_dim, false);
  Bf16* to = output + sample.number * sample.output_dim;
  const int phase = Phase(to);
  Bf16* packed = sample.shared + layout.packed;
  WaitForCopies();
  __syncwarp();
  float sums[kTiles][2 * kTiles][4] = {};
  MultiplyVectors<kTiles>(sample, sums);
  for (int d = sample.lane; d < sample.dim; d += kWarp) {
    packed[phase + d] = sample.shared[d];
  }
  PackDots<kTiles>(sample, sums, packed + phase + sample.dim);
  __syncwarp();
  StorePacked(sample, packed, phase, to);
}

// The pairs' gradients as a symmetric matrix with a zero diagonal.
template <int kTiles>
__device__ __forceinline__ void FillPairs(const WarpSample& sample, const Bf16* grads,
                                          Bf16* pairs) {
  constexpr int kRows = kTiles * kTile;
  constexpr int kStride = kRows + kPiece;
  uint4* zeros = reinterpret_cast<uint4*>(pairs);
  for (int at = sample.lane; at < kRows * kStride / kPiece; at += kWarp) {
    zeros[at] = make_uint4(0, 0, 0, 0);
  }
  __syncwarp();
  for (int i = 1; i < sample.num_vectors; ++i) {
    for (int j = sample.lane; j < i; j += kWarp) {
      const Bf16 grad = grads[PairAt(i, j)];
      pairs[i * kStride + j] = grad;
      pairs[j * kStride + i] = grad;
    }
  }
}

// Replaces columns [column, column + 16) of the vectors by those of the product of the
// pairs' gradients with the vectors; `dense_grad` is added to vector 0.
template <int kTiles>
__device__ __forceinline__ void MultiplyColumns(
    const WarpSample& sample, const unsigned (&pairs)[kTiles][kTiles][4],
    const Bf16* dense_grad, int column) {
  const int stride = RowStride(sample.dim);
  float sums[kTiles][2][4] = {};
  STEPWELL_UNROLL
  for (int k = 0; k < kTiles; ++k) {
    unsigned b[4];
    LoadMatricesTransposed(
        b, LaneRow(sample.shared, stride, k * kTile, column, sample.lane));
    STEPWELL_UNROLL
    for (int m = 0; m < kTiles; ++m) {
      MultiplyAdd(sums[m][0], pairs[m][k], b[0], b[1]);
      MultiplyAdd(sums[m][1], pairs[m][k], b[2], b[3]);
    }
  }
  // Every lane has read these columns before one of them overwrites them.
  __syncwarp();
  const int g = sample.lane / 4;
  const int t = sample.lane % 4;
  STEPWELL_UNROLL
  for (int m = 0; m < kTiles; ++m) {
    STEPWELL_UNROLL
    for (int part = 0; part < 4; ++part) {
      const int n = part / 2;
      const int half = part % 2;
      const int row = m * kTile + g + half * 8;
      const int d = column + n * 8 + 2 * t;
      float first = sums[m][n][2 * half];
      float second = sums[m][n][2 * half + 1];
      if (row == 0) {
        first += ToFloat(dense_grad[d]);
        second += ToFloat(dense_grad[d + 1]);
      }
      *reinterpret_cast<__nv_bfloat162*>(sample.shared + row * stride + d) =
          __floats2bfloat162_rn(first, second);
    }
  }
}

template <int kTiles>
__global__ void __launch_bounds__(kBlockThreads)
    TensorCoreBackwardKernel(const __grid_constant__ Samples samples,
                             const Bf16* output_grad, Bf16* head_grad, Bf16* tail_grad,
                             int elements_per_warp) {
  STEPWELL_DYNAMIC_SHARED(backward_shared);
  const WarpSample sample = SampleOfWarp(samples, backward_shared, elements_per_warp);
  if (!sample.active) return;
  StartVectors<kTiles>(samples, sample);
  const Layout layout = LayoutOf(kTiles, sample.dim, sample.output_dim, true);
  const Bf16* grad = output_grad + sample.number * sample.output_dim;
  const int phase = Phase(grad);
  Bf16* packed = sample.shared + layout.packed;
  Bf16* pairs = sample.shared + layout.pairs;
  LoadPacked(sample, grad, phase, packed);
  __syncwarp();
  FillPairs<kTiles>(sample, packed + phase + sample.dim, pairs);
  WaitForCopies();
  __syncwarp();
  unsigned rows[kTiles][kTiles][4];
  STEPWELL_UNROLL
  for (int m = 0; m < kTiles; ++m) {
    STEPWELL_UNROLL
    for (int k = 0; k < kTiles; ++k) {
      LoadMatrices(rows[m][k], LaneRow(pairs, kTiles * kTile + kPiece, m * kTile,
                                       k * kTile, sample.lane));
    }
  }
  for (int column = 0; column < sample.dim; column += kTile) {
    MultiplyColumns<kTiles>(sample, rows, packed + phase, column);
  }
  __syncwarp();
  StoreRows(sample, 0, 1, head_grad + sample.number * sample.dim);
  StoreRows(sample, 1, sample.num_vectors - 1,
            tail_grad + sample.number * samples.num_tail * sample.dim);
}

int TilesOf(const Samples& samples) {
  return static_cast<int>((samples.num_vectors() + kTile - 1) / kTile);
}

LaunchSizes SizesOf(const Samples& samples, bool backward) {
  const Layout layout = LayoutOf(TilesOf(samples), static_cast<int>(samples.dim),
                                 static_cast<int>(samples.output_dim()), backward);
  return {CeilDiv(samples.num_samples, kWarpsPerBlock), kBlockThreads,
          int64_t{layout.total} * kWarpsPerBlock * static_cast<int64_t>(sizeof(Bf16))};
}

int ElementsPerWarp(const LaunchSizes& sizes) {
  return static_cast<int>(sizes.shared_bytes / sizeof(Bf16)) / kWarpsPerBlock;
}

template <int kTiles>
cudaError_t LaunchForward(const Samples& samples, void* output, cudaStream_t stream) {
  const LaunchSizes sizes = SizesOf(samples, false);
  return Launch(TensorCoreForwardKernel<kTiles>, sizes, stream, samples,
                static_cast<Bf16*>(output), ElementsPerWarp(sizes));
}

template <int kTiles>
cudaError_t LaunchBackward(const Samples& samples, const void* output_grad,
                           void* head_grad, void* tail_grad, cudaStream_t stream) {
  const LaunchSizes sizes = SizesOf(samples, true);
  return Launch(TensorCoreBackwardKernel<kTiles>, sizes, stream, samples,
                static_cast<const Bf16*>(output_grad), static_cast<Bf16*>(head_grad),
                static_cast<Bf16*>(tail_grad), ElementsPerWarp(sizes));
}

}  // namespace

bool CanUseTensorCores(const Samples& samples, ElementType type) {
  if (type != ElementType::kBfloat16) return false;
  if (samples.dim == 0 || samples.dim % kTile != 0) return false;
  if (samples.num_vectors() > kMaxTiles * kTile) return false;
  const uintptr_t pointers = reinterpret_cast<uintptr_t>(samples.head) |
                             reinterpret_cast<uintptr_t>(samples.tail);
  if (pointers % 16 != 0) return false;
  // Far past this the sizes would not fit their ints either.
  return samples.dim <= 4096 && SizesOf(samples, true).shared_bytes <= kMaxSharedBytes;
}

cudaError_t TensorCoreForward(const Samples& samples, void* output,
                              cudaStream_t stream) {
  switch (TilesOf(samples)) {
    case 1:
      return LaunchForward<1>(samples, output, stream);
    case 2:
      return LaunchForward<2>(samples, output, stream);
    case 3:
      return LaunchForward<3>(samples, output, stream);
    case 4:
      return LaunchForward<4>(samples, output, stream);
    default:
      return cudaErrorInvalidValue;
  }
}

cudaError_t TensorCoreBackward(const Samples& samples, const void* output_grad,
                               void* head_grad, void* tail_grad, cudaStream_t stream) {
  switch (TilesOf(samples)) {
    case 1:
      return LaunchBackward<1>(samples, output_grad, head_grad, tail_grad, stream);
    case 2:
      return LaunchBackward<2>(samples, output_grad, head_grad, tail_grad, stream);
    case 3:
      return LaunchBackward<3>(samples, output_grad, head_grad, tail_grad, stream);
    case 4:
      return LaunchBackward<4>(samples, output_grad, head_grad, tail_grad, stream);
    default:
      return cudaErrorInvalidValue;
  }
}

}  // namespace stepwell::kernels::cuda
