#include <cstdint>

#include "cc/kernels/cuda/elements.h"
#include "cc/kernels/cuda/launch.h"
#include "cc/kernels/embedding/bag_launch_cuda.h"
#include "cc/kernels/embedding/embedding_cuda.h"

namespace stepwell::kernels::cuda {
namespace {

// The gradient of an entry's pooled vector: the bag's, or its own without pooling.
template <typename Index>
__device__ __forceinline__ int64_t GradAt(const BagLaunch<Index>& launch,
                                          const GroupBag& bag, int64_t position) {
  return launch.bags.pooling == Pooling::kNone ? EntryAt(launch, position)
                                               : OutputAt(launch, bag);
}

// kColumns floats a lane: 4 where every row of the gradient is aligned to 16 bytes.
template <int kColumns>
__device__ __forceinline__ void AddEntry(const GroupBag& bag, int group_lanes,
                                         int64_t dim, float factor, const float* grad,
                                         float* to) {
  const int64_t step = static_cast<int64_t>(group_lanes) * kColumns;
  for (int64_t d = bag.lane * kColumns; d < dim; d += step) {
    if constexpr (kColumns == 4) {
      // One instruction from sm_90 on.
      atomicAdd(reinterpret_cast<float4*>(to + d),
                make_float4(factor * grad[d], factor * grad[d + 1],
                            factor * grad[d + 2], factor * grad[d + 3]));
    } else {
      atomicAdd(to + d, factor * grad[d]);
    }
  }
}

template <typename Index>
__global__ void __launch_bounds__(kThreads)
    BackwardKernel(const __grid_constant__ BagLaunch<Index> launch,
                   const float* output_grad) {
  const GroupBag bag = BagOfGroup(launch);
  if (!bag.active) return;
  const Table& table = launch.tables[bag.table];
  const bool aligned =
      table.dim % 4 == 0 && reinterpret_cast<uintptr_t>(table.grad) % 16 == 0;
  for (int64_t position = bag.begin; position < bag.end; ++position) {
    const int64_t row = CheckedRow(launch, table, position);
    if (row < 0) continue;
    const float factor = bag.scale * WeightOf(launch, position);
    const float* grad = output_grad + GradAt(launch, bag, position);
    float* to = table.grad + row * table.dim;
    if (aligned) {
      AddEntry<4>(bag, launch.group_lanes, table.dim, factor, grad, to);
    } else {
      AddEntry<1>(bag, launch.group_lanes, table.dim, factor, grad, to);
    }
  }
}

// A whole warp takes a bag, because its lanes add up one number together.
template <typename Row, typename Index>
__global__ void __launch_bounds__(kThreads)
    WeightsBackwardKernel(const __grid_constant__ BagLaunch<Index> launch,
                          const float* output_grad, float* weights_grad) {
  const GroupBag bag = BagOfGroup(launch);
  if (!bag.active) return;
  const Table& table = launch.tables[bag.table];
  for (int64_t position = bag.begin; position < bag.end; ++position) {
    const int64_t row = CheckedRow(launch, table, position);
    const float* grad = output_grad + GradAt(launch, bag, position);
    float dot = 0.0f;
    if (row >= 0) {
      const Row* values = reinterpret_cast<const Row*>(table.rows) + row * table.dim;
      for (int64_t d = bag.lane; d < table.dim; d += kWarp) {
        dot += grad[d] * ToFloat(values[d]);
      }
    }
    dot = WarpSum(dot);
    if (bag.lane == 0) weights_grad[position] = bag.scale * dot;
  }
}

template <typename Row, typename Index>
cudaError_t LaunchWeights(const EmbeddingBags<Index>& bags, const float* output_grad,
                          float* weights_grad, cudaStream_t stream) {
  return ForEachLaunch(TablesOf(bags, nullptr, nullptr), bags, 0,
                       [&](const BagLaunch<Index>& launch, int64_t blocks) {
                         return Launch(WeightsBackwardKernel<Row, Index>,
                                       {blocks, kThreads, 0}, stream, launch,
                                       output_grad, weights_grad);
                       });
}

}  // namespace

template <typename Index>
cudaError_t EmbeddingBagBackward(const EmbeddingBags<Index>& bags,
                                 const float* output_grad, float* const* table_grads,
                                 cudaStream_t stream) {
  return ForEachLaunch(TablesOf(bags, nullptr, table_grads), bags, 4,
                       [&](const BagLaunch<Index>& launch, int64_t blocks) {
                         return Launch(BackwardKernel<Index>, {blocks, kThreads, 0},
                                       stream, launch, output_grad);
                       });
}

template <typename Index>
cudaError_t EmbeddingBagWeightsBackward(const EmbeddingBags<Index>& bags,
                                        const float* output_grad, float* weights_grad,
                                        cudaStream_t stream) {
  if (bags.num_tables == 0) return cudaSuccess;
  switch (bags.tables[0].format) {
    case RowFormat::kFloat32:
      return LaunchWeights<float>(bags, output_grad, weights_grad, stream);
    case RowFormat::kFloat16:
      return LaunchWeights<__half>(bags, output_grad, weights_grad, stream);
    case RowFormat::kBfloat16:
      return LaunchWeights<__nv_bfloat16>(bags, output_grad, weights_grad, stream);
    default:
      return cudaErrorInvalidValue;
  }
}

#define STEPWELL_INSTANTIATE(Index)                                            \
  template cudaError_t EmbeddingBagBackward<Index>(                            \
      const EmbeddingBags<Index>&, const float*, float* const*, cudaStream_t); \
  template cudaError_t EmbeddingBagWeightsBackward<Index>(                     \
      const EmbeddingBags<Index>&, const float*, float*, cudaStream_t);
STEPWELL_INSTANTIATE(int32_t)
STEPWELL_INSTANTIATE(int64_t)
#undef STEPWELL_INSTANTIATE

}  // namespace stepwell::kernels::cuda
