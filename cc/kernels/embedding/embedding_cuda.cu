#include <cstdint>
#include <cstdio>

#include "cc/kernels/embedding/embedding_cuda.h"

namespace stepwell::kernels {
namespace {

constexpr int kWarp = 32;
constexpr int kWarpsPerBlock = 8;
// Descriptors travel as kernel arguments, of which there are 4 KiB; a model with more
// tables takes several launches.
constexpr int kTablesPerLaunch = 64;

struct TableSlice {
  const float* rows;
  float* grad;
  int64_t num_rows;
  int64_t dim;
  int64_t output_column;
};

// A run of tables, and the jagged arrays of all tables.
template <typename Index>
struct Launch {
  TableSlice tables[kTablesPerLaunch];
  int64_t first_table;
  int64_t num_tables;
  const Index* indices;
  const Index* offsets;
  const float* per_entry_weights;
  int64_t num_indices;
  int64_t batch;
  int64_t output_stride;
  bool mean;
};

// One warp's bag.
struct WarpBag {
  bool active;
  int64_t table;  // within the launch
  int64_t row;
  int64_t begin;
  int64_t end;
  float scale;
};

__device__ void FailOnOffset(int64_t position, int64_t value) {
  printf(
      "stepwell: offsets[%lld] is %lld; offsets must start at 0, never fall and end "
      "at the number of indices\n",
      static_cast<long long>(position), static_cast<long long>(value));
  __trap();
}

__device__ void FailOnIndex(int64_t table, int64_t position, int64_t value,
                            int64_t num_rows) {
  printf("stepwell: indices[%lld] is %lld, must be in [-1, %lld] for table %lld\n",
         static_cast<long long>(position), static_cast<long long>(value),
         static_cast<long long>(num_rows - 1), static_cast<long long>(table));
  __trap();
}

template <typename Index>
__device__ WarpBag BagOfWarp(const Launch<Index>& launch) {
  const int64_t warp =
      static_cast<int64_t>(blockIdx.x) * kWarpsPerBlock + threadIdx.x / kWarp;
  if (warp >= launch.num_tables * launch.batch) return {false, 0, 0, 0, 0, 1.0f};
  const int64_t bag = launch.first_table * launch.batch + warp;
  const int64_t begin = launch.offsets[bag];
  const int64_t end = launch.offsets[bag + 1];
  if (begin < 0 || begin > launch.num_indices || (bag == 0 && begin != 0)) {
    FailOnOffset(bag, begin);
  }
  if (end < begin || end > launch.num_indices) FailOnOffset(bag + 1, end);
  const float scale =
      launch.mean && end - begin > 1 ? 1.0f / static_cast<float>(end - begin) : 1.0f;
  return {true, warp / launch.batch, warp % launch.batch, begin, end, scale};
}

// Returns the row of an entry, -1 for the default row.
template <typename Index>
__device__ int64_t CheckedIndex(const Launch<Index>& launch, const WarpBag& bag,
                                int64_t position) {
  const int64_t index = launch.indices[position];
  const int64_t num_rows = launch.tables[bag.table].num_rows;
  if (index < -1 || index >= num_rows) {
    FailOnIndex(launch.first_table + bag.table, position, index, num_rows);
  }
  return index;
}

template <typename Index>
__device__ float WeightOf(const Launch<Index>& launch, int64_t position) {
  return launch.per_entry_weights == nullptr ? 1.0f
                                             : launch.per_entry_weights[position];
}

// kVector floats a lane and step: 4 where every row is aligned to 16 bytes.
template <typename Index, int kVector>
__device__ void PoolBag(const Launch<Index>& launch, const WarpBag& bag, int lane,
                        float* output) {
  const TableSlice& table = launch.tables[bag.table];
  float* out = output + bag.row * launch.output_stride + table.output_column;
  for (int64_t d = lane * kVector; d < table.dim; d += kWarp * kVector) {
    float sums[kVector] = {};
    for (int64_t position = bag.begin; position < bag.end; ++position) {
      const int64_t index = CheckedIndex(launch, bag, position);
      if (index < 0) continue;
      const float weight = WeightOf(launch, position);
      const float* row = table.rows + index * table.dim + d;
      if constexpr (kVector == 4) {
        const float4 x = __ldg(reinterpret_cast<const float4*>(row));
        sums[0] += weight * x.x;
        sums[1] += weight * x.y;
        sums[2] += weight * x.z;
        sums[3] += weight * x.w;
      } else {
        sums[0] += weight * __ldg(row);
      }
    }
    for (int k = 0; k < kVector; ++k) out[d + k] = sums[k] * bag.scale;
  }
}

template <typename Index>
__global__ void ForwardKernel(const __grid_constant__ Launch<Index> launch,
                              float* output) {
  const WarpBag bag = BagOfWarp(launch);
  if (!bag.active) return;
  const int lane = threadIdx.x % kWarp;
  const TableSlice& table = launch.tables[bag.table];
  const bool aligned =
      table.dim % 4 == 0 && reinterpret_cast<uintptr_t>(table.rows) % 16 == 0;
  if (aligned) {
    PoolBag<Index, 4>(launch, bag, lane, output);
  } else {
    PoolBag<Index, 1>(launch, bag, lane, output);
  }
}

template <typename Index>
__global__ void BackwardKernel(const __grid_constant__ Launch<Index> launch,
                               const float* output_grad) {
  const WarpBag bag = BagOfWarp(launch);
  if (!bag.active) return;
  const TableSlice& table = launch.tables[bag.table];
  const float* grad =
      output_grad + bag.row * launch.output_stride + table.output_column;
  for (int64_t position = bag.begin; position < bag.end; ++position) {
    const int64_t index = CheckedIndex(launch, bag, position);
    if (index < 0) continue;
    const float factor = bag.scale * WeightOf(launch, position);
    for (int64_t d = threadIdx.x % kWarp; d < table.dim; d += kWarp) {
      atomicAdd(table.grad + index * table.dim + d, factor * grad[d]);
    }
  }
}

template <typename Index>
__global__ void WeightsBackwardKernel(const __grid_constant__ Launch<Index> launch,
                                      const float* output_grad, float* weights_grad) {
  const WarpBag bag = BagOfWarp(launch);
  if (!bag.active) return;
  const int lane = threadIdx.x % kWarp;
  const TableSlice& table = launch.tables[bag.table];
  const float* grad =
      output_grad + bag.row * launch.output_stride + table.output_column;
  for (int64_t position = bag.begin; position < bag.end; ++position) {
    const int64_t index = CheckedIndex(launch, bag, position);
    float dot = 0.0f;
    if (index >= 0) {
      for (int64_t d = lane; d < table.dim; d += kWarp) {
        dot += grad[d] * table.rows[index * table.dim + d];
      }
    }
    for (int step = kWarp / 2; step > 0; step /= 2) {
      dot += __shfl_down_sync(0xFFFFFFFFu, dot, step);
    }
    if (lane == 0) weights_grad[position] = bag.scale * dot;
  }
}

template <typename Index>
Launch<Index> LaunchOf(const EmbeddingBags<Index>& bags, int64_t first_table,
                       float* const* table_grads) {
  Launch<Index> launch = {};
  const int64_t left = bags.num_tables - first_table;
  launch.first_table = first_table;
  launch.num_tables = left < kTablesPerLaunch ? left : kTablesPerLaunch;
  for (int64_t t = 0; t < launch.num_tables; ++t) {
    const EmbeddingTable& table = bags.tables[first_table + t];
    launch.tables[t] = {table.rows, nullptr, table.num_rows, table.dim,
                        table.output_column};
    if (table_grads != nullptr) launch.tables[t].grad = table_grads[first_table + t];
  }
  launch.indices = bags.indices;
  launch.offsets = bags.offsets;
  launch.per_entry_weights = bags.per_entry_weights;
  launch.num_indices = bags.num_indices;
  launch.batch = bags.batch;
  launch.output_stride = bags.output_stride;
  launch.mean = bags.pooling == Pooling::kMean;
  return launch;
}

// Calls launch_one(launch, blocks) for each run of tables.
template <typename Index, typename LaunchOne>
cudaError_t ForEachLaunch(const EmbeddingBags<Index>& bags, float* const* table_grads,
                          LaunchOne launch_one) {
  if (bags.batch == 0) return cudaSuccess;
  for (int64_t first = 0; first < bags.num_tables; first += kTablesPerLaunch) {
    const Launch<Index> launch = LaunchOf(bags, first, table_grads);
    const int64_t warps = launch.num_tables * launch.batch;
    const int64_t blocks = (warps + kWarpsPerBlock - 1) / kWarpsPerBlock;
    if (blocks > INT32_MAX) return cudaErrorInvalidConfiguration;
    launch_one(launch, static_cast<unsigned>(blocks));
    const cudaError_t error = cudaGetLastError();
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

}  // namespace

template <typename Index>
cudaError_t EmbeddingBagForwardCuda(const EmbeddingBags<Index>& bags, float* output,
                                    cudaStream_t stream) {
  return ForEachLaunch(
      bags, nullptr, [&](const Launch<Index>& launch, unsigned blocks) {
        ForwardKernel<Index>
            <<<blocks, kWarp * kWarpsPerBlock, 0, stream>>>(launch, output);
      });
}

template <typename Index>
cudaError_t EmbeddingBagBackwardCuda(const EmbeddingBags<Index>& bags,
                                     const float* output_grad,
                                     float* const* table_grads, cudaStream_t stream) {
  return ForEachLaunch(
      bags, table_grads, [&](const Launch<Index>& launch, unsigned blocks) {
        BackwardKernel<Index>
            <<<blocks, kWarp * kWarpsPerBlock, 0, stream>>>(launch, output_grad);
      });
}

template <typename Index>
cudaError_t EmbeddingBagWeightsBackwardCuda(const EmbeddingBags<Index>& bags,
                                            const float* output_grad,
                                            float* weights_grad, cudaStream_t stream) {
  return ForEachLaunch(
      bags, nullptr, [&](const Launch<Index>& launch, unsigned blocks) {
        WeightsBackwardKernel<Index><<<blocks, kWarp * kWarpsPerBlock, 0, stream>>>(
            launch, output_grad, weights_grad);
      });
}

#define STEPWELL_INSTANTIATE(Index)                                                \
  template cudaError_t EmbeddingBagForwardCuda<Index>(const EmbeddingBags<Index>&, \
                                                      float*, cudaStream_t);       \
  template cudaError_t EmbeddingBagBackwardCuda<Index>(                            \
      const EmbeddingBags<Index>&, const float*, float* const*, cudaStream_t);     \
  template cudaError_t EmbeddingBagWeightsBackwardCuda<Index>(                     \
      const EmbeddingBags<Index>&, const float*, float*, cudaStream_t);
STEPWELL_INSTANTIATE(int32_t)
STEPWELL_INSTANTIATE(int64_t)
#undef STEPWELL_INSTANTIATE

}  // namespace stepwell::kernels
