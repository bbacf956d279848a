#include <cstdint>

#include "cc/kernels/cuda/elements.h"
#include "cc/kernels/cuda/launch.h"
#include "cc/kernels/interaction/cross_network_cuda.h"

namespace stepwell::kernels::cuda {
namespace {

constexpr int kThreads = 256;

template <typename T, int kColumns>
__device__ __forceinline__ Pack<T, kColumns> PieceAt(const void* from, int64_t at) {
  return *reinterpret_cast<const Pack<T, kColumns>*>(static_cast<const T*>(from) + at);
}

// One thread a piece of kColumns columns; pieces do not cross rows.
template <typename T, int kColumns>
__global__ void __launch_bounds__(kThreads) CombineKernel(CrossLayer layer) {
  const int64_t at =
      (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * kColumns;
  if (at >= layer.batch * layer.width) return;
  const auto x = PieceAt<T, kColumns>(layer.x, at);
  const auto products = PieceAt<T, kColumns>(layer.products, at);
  const auto bias = PieceAt<T, kColumns>(layer.bias, at % layer.width);
  Pack<float, kColumns> sums;
  if (layer.previous != nullptr) {
    sums = PieceAt<float, kColumns>(layer.previous, at);
  } else {
    STEPWELL_UNROLL
    for (int k = 0; k < kColumns; ++k) sums.at[k] = ToFloat(x.at[k]);
  }
  Pack<T, kColumns> output;
  STEPWELL_UNROLL
  for (int k = 0; k < kColumns; ++k) {
    sums.at[k] += ToFloat(x.at[k]) * (ToFloat(products.at[k]) + ToFloat(bias.at[k]));
    FromFloat(sums.at[k], output.at[k]);
  }
  if (layer.state != nullptr) {
    *reinterpret_cast<Pack<float, kColumns>*>(layer.state + at) = sums;
  }
  *reinterpret_cast<Pack<T, kColumns>*>(static_cast<T*>(layer.output) + at) = output;
}

// Four columns a thread are 16 bytes of float32.
template <typename T>
cudaError_t Combine(const CrossLayer& layer, cudaStream_t stream) {
  constexpr int kColumns = 4;
  const int64_t count = layer.batch * layer.width;
  const uintptr_t pointers = reinterpret_cast<uintptr_t>(layer.x) |
                             reinterpret_cast<uintptr_t>(layer.products) |
                             reinterpret_cast<uintptr_t>(layer.bias) |
                             reinterpret_cast<uintptr_t>(layer.previous) |
                             reinterpret_cast<uintptr_t>(layer.state) |
                             reinterpret_cast<uintptr_t>(layer.output);
  if (pointers % 16 == 0 && layer.width % kColumns == 0) {
    return Launch(CombineKernel<T, kColumns>,
                  {CeilDiv(count / kColumns, kThreads), kThreads, 0}, stream, layer);
  }
  return Launch(CombineKernel<T, 1>, {CeilDiv(count, kThreads), kThreads, 0}, stream,
                layer);
}

}  // namespace

cudaError_t CrossLayerCombine(const CrossLayer& layer, ElementType type,
                              cudaStream_t stream) {
  switch (type) {
    case ElementType::kFloat32:
      return Combine<float>(layer, stream);
    case ElementType::kBfloat16:
      return Combine<__nv_bfloat16>(layer, stream);
    case ElementType::kFloat16:
      return Combine<__half>(layer, stream);
  }
  return cudaErrorInvalidValue;
}

}  // namespace stepwell::kernels::cuda
