#include <cstdint>
#include <cstdio>

#include "cc/kernels/cuda/elements.h"
#include "cc/kernels/cuda/launch.h"
#include "cc/kernels/embedding/bag_launch_cuda.h"
#include "cc/kernels/embedding/training_cuda.h"

namespace stepwell::kernels::cuda {
namespace {

template <typename Index>
__global__ void __launch_bounds__(kThreads)
    EntryBackwardKernel(const __grid_constant__ BagLaunch<Index> launch,
                        const float* output_grad) {
  const GroupBag bag = BagOfGroup(launch);
  if (!bag.active) return;
  const Table& table = launch.tables[bag.table];
  const int64_t first = launch.bags.offsets[table.number * launch.bags.batch];
  const bool pooled = launch.bags.pooling != Pooling::kNone;
  for (int64_t position = bag.begin; position < bag.end; ++position) {
    const float factor = bag.scale * WeightOf(launch, position);
    const float* grad =
        output_grad + (pooled ? OutputAt(launch, bag) : EntryAt(launch, position));
    float* to = table.grad + (position - first) * table.dim;
    for (int64_t d = bag.lane; d < table.dim; d += launch.group_lanes) {
      to[d] = factor * grad[d];
    }
  }
}

STEPWELL_NOINLINE __device__ void FailOnRow(int64_t position, int64_t row,
                                            int64_t num_rows) {
  printf("stepwell: row_ids[%lld] is %lld, must be in [0, %lld]\n",
         static_cast<long long>(position), static_cast<long long>(row),
         static_cast<long long>(num_rows - 1));
  __trap();
}

struct Run {
  const int64_t* positions;
  int64_t length;
};

__device__ __forceinline__ float SumOfRun(const AdagradTable& table, const Run& run,
                                          int64_t d) {
  float sum = 0.0f;
  for (int64_t k = 0; k < run.length; ++k) {
    sum += table.grads[run.positions[k] * table.dim + d];
  }
  return sum;
}

// One warp an entry; the first entry of a row does the work of all of them. A run has
// no bound but the entries themselves, so a call with one row only is slow, not wrong.
__global__ void __launch_bounds__(kThreads)
    AdagradKernel(AdagradTable table, const int64_t* sorted_rows,
                  const int64_t* positions, int64_t num_entries) {
  const int64_t entry =
      (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  if (entry >= num_entries) return;
  const int64_t row = sorted_rows[entry];
  if (row < 0 || row >= table.num_rows) {
    FailOnRow(positions[entry], row, table.num_rows);
  }
  if (entry > 0 && sorted_rows[entry - 1] == row) return;
  Run run = {positions + entry, 1};
  while (entry + run.length < num_entries && sorted_rows[entry + run.length] == row) {
    ++run.length;
  }
  float squares = 0.0f;
  for (int64_t d = lane; d < table.dim; d += kWarp) {
    const float sum = SumOfRun(table, run, d);
    squares += sum * sum;
  }
  const float moment =
      table.moments[row] + WarpSum(squares) / static_cast<float>(table.dim);
  const float step = table.lr / (sqrtf(moment) + table.eps);
  for (int64_t d = lane; d < table.dim; d += kWarp) {
    table.rows[row * table.dim + d] -= step * SumOfRun(table, run, d);
  }
  // All lanes have read the moment before it changes.
  __syncwarp();
  if (lane == 0) table.moments[row] = moment;
}

}  // namespace

template <typename Index>
cudaError_t EntryBackward(const EmbeddingBags<Index>& bags, const float* output_grad,
                          float* const* entry_grads, cudaStream_t stream) {
  return ForEachLaunch(TablesOf(bags, nullptr, entry_grads), bags, 1,
                       [&](const BagLaunch<Index>& launch, int64_t blocks) {
                         return Launch(EntryBackwardKernel<Index>,
                                       {blocks, kThreads, 0}, stream, launch,
                                       output_grad);
                       });
}

template cudaError_t EntryBackward<int32_t>(const EmbeddingBags<int32_t>&, const float*,
                                            float* const*, cudaStream_t);
template cudaError_t EntryBackward<int64_t>(const EmbeddingBags<int64_t>&, const float*,
                                            float* const*, cudaStream_t);

cudaError_t RowWiseAdagrad(const AdagradTable& table, const int64_t* sorted_rows,
                           const int64_t* positions, int64_t num_entries,
                           cudaStream_t stream) {
  return Launch(AdagradKernel, {CeilDiv(num_entries * kWarp, kThreads), kThreads, 0},
                stream, table, sorted_rows, positions, num_entries);
}

}  // namespace stepwell::kernels::cuda
