#ifndef CC_KERNELS_EMBEDDING_BAG_LAUNCH_CUDA_H_
#define CC_KERNELS_EMBEDDING_BAG_LAUNCH_CUDA_H_

#include <cstdint>
#include <cstdio>
#include <vector>

#include "cc/kernels/cuda/launch.h"
#include "cc/kernels/embedding/embedding.h"

// How bags become threads, for the .cu files beside this header. A group of lanes (a
// warp or a part of one) takes a bag; the groups of a launch take the bags of its
// tables in order.
namespace stepwell::kernels::cuda {
namespace {

constexpr int kThreads = 256;
// Descriptors travel as kernel arguments, of which 4 KiB are there on every driver; a
// model with more tables takes several launches.
constexpr int kTablesPerLaunch = 48;

// One table, as the kernels see it.
struct Table {
  const unsigned char* rows;
  float* grad;  // of the backward kernels
  int64_t num_rows;
  int64_t dim;
  int64_t row_bytes;
  int64_t output_column;
  int64_t default_row;
  int64_t number;  // its bags are number * batch .. number * batch + batch - 1
};

template <typename Index>
struct BagLaunch {
  Table tables[kTablesPerLaunch];
  EmbeddingBags<Index> bags;  // of all tables; `tables` is host memory
  int64_t num_tables;         // of this launch
  int group_lanes;            // 1 << group_shift, up to 32
  int group_shift;
};

// One group's bag.
struct GroupBag {
  bool active;
  int lane;
  int64_t table;  // within the launch
  int64_t row;
  int64_t begin;
  int64_t end;
  float scale;
};

STEPWELL_NOINLINE __device__ void FailOnOffset(int64_t position, int64_t value) {
  printf(
      "stepwell: offsets[%lld] is %lld; offsets must start at 0, never fall and end "
      "at the number of indices\n",
      static_cast<long long>(position), static_cast<long long>(value));
  __trap();
}

STEPWELL_NOINLINE __device__ void FailOnIndex(int64_t table, int64_t position,
                                              int64_t value, int64_t num_rows) {
  printf("stepwell: indices[%lld] is %lld, must be in [-1, %lld] for table %lld\n",
         static_cast<long long>(position), static_cast<long long>(value),
         static_cast<long long>(num_rows - 1), static_cast<long long>(table));
  __trap();
}

template <typename Index>
__device__ __forceinline__ void CheckOffsets(const EmbeddingBags<Index>& bags,
                                             int64_t bag, int64_t begin, int64_t end) {
  if (begin < 0 || begin > bags.num_indices || (bag == 0 && begin != 0)) {
    FailOnOffset(bag, begin);
  }
  const bool last = bag + 1 == bags.num_tables * bags.batch;
  if (end < begin || end > bags.num_indices || (last && end != bags.num_indices)) {
    FailOnOffset(bag + 1, end);
  }
}

template <typename Index>
__device__ __forceinline__ GroupBag BagOfGroup(const BagLaunch<Index>& launch) {
  const int64_t thread = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const int64_t group = thread >> launch.group_shift;
  const int lane = static_cast<int>(threadIdx.x) & (launch.group_lanes - 1);
  const EmbeddingBags<Index>& bags = launch.bags;
  if (group >= launch.num_tables * bags.batch) return {false, lane, 0, 0, 0, 0, 1.0f};
  const int64_t table = group / bags.batch;
  const int64_t row = group - table * bags.batch;
  const int64_t bag = launch.tables[table].number * bags.batch + row;
  const int64_t begin = __ldg(bags.offsets + bag);
  const int64_t end = __ldg(bags.offsets + bag + 1);
  CheckOffsets(bags, bag, begin, end);
  const bool divides = bags.pooling == Pooling::kMean && end - begin > 1;
  const float scale = divides ? 1.0f / static_cast<float>(end - begin) : 1.0f;
  return {true, lane, table, row, begin, end, scale};
}

// Returns the row of an entry, the default row's number or -1 for a row of zeros.
template <typename Index>
__device__ __forceinline__ int64_t CheckedRow(const BagLaunch<Index>& launch,
                                              const Table& table, int64_t position) {
  const int64_t index = __ldg(launch.bags.indices + position);
  if (index < -1 || index >= table.num_rows) {
    FailOnIndex(table.number, position, index, table.num_rows);
  }
  return index < 0 ? table.default_row : index;
}

template <typename Index>
__device__ __forceinline__ float WeightOf(const BagLaunch<Index>& launch,
                                          int64_t position) {
  const float* weights = launch.bags.per_entry_weights;
  return weights == nullptr ? 1.0f : __ldg(weights + position);
}

// Where the pooled vector of a bag starts, in elements of the output or its gradient.
template <typename Index>
__device__ __forceinline__ int64_t OutputAt(const BagLaunch<Index>& launch,
                                            const GroupBag& bag) {
  return bag.row * launch.bags.output_stride + launch.tables[bag.table].output_column;
}

// The same of an entry's own vector, without pooling.
template <typename Index>
__device__ __forceinline__ int64_t EntryAt(const BagLaunch<Index>& launch,
                                           int64_t position) {
  return position * launch.bags.output_stride;
}

// Of the smallest power of two that holds `vectors`, at most a warp.
inline int ShiftFor(int64_t vectors) {
  int shift = 0;
  while (1 << shift < kWarp && 1 << shift < vectors) ++shift;
  return shift;
}

// The tables of one format, or of all.
template <typename Index>
std::vector<Table> TablesOf(const EmbeddingBags<Index>& bags, const RowFormat* format,
                            float* const* grads) {
  std::vector<Table> tables;
  for (int64_t t = 0; t < bags.num_tables; ++t) {
    const EmbeddingTable& table = bags.tables[t];
    if (format != nullptr && table.format != *format) continue;
    tables.push_back({static_cast<const unsigned char*>(table.rows),
                      grads == nullptr ? nullptr : grads[t], table.num_rows, table.dim,
                      RowBytes(table.format, table.dim), table.output_column,
                      table.default_row, t});
  }
  return tables;
}

// Calls launch_one(launch, blocks) for each run of tables, its groups of as many lanes
// as the widest row has pieces of `columns_per_lane`, or of whole warps for 0.
template <typename Index, typename LaunchOne>
cudaError_t ForEachLaunch(const std::vector<Table>& tables,
                          const EmbeddingBags<Index>& bags, int64_t columns_per_lane,
                          LaunchOne launch_one) {
  for (size_t first = 0; first < tables.size(); first += kTablesPerLaunch) {
    BagLaunch<Index> launch = {};
    const size_t left = tables.size() - first;
    const size_t count = left < kTablesPerLaunch ? left : kTablesPerLaunch;
    launch.bags = bags;
    launch.num_tables = static_cast<int64_t>(count);
    int64_t widest = 1;
    for (size_t t = 0; t < count; ++t) {
      launch.tables[t] = tables[first + t];
      if (tables[first + t].dim > widest) widest = tables[first + t].dim;
    }
    const int64_t vectors =
        columns_per_lane == 0 ? kWarp : CeilDiv(widest, columns_per_lane);
    launch.group_shift = ShiftFor(vectors);
    launch.group_lanes = 1 << launch.group_shift;
    const int64_t lanes = launch.num_tables * bags.batch * launch.group_lanes;
    const cudaError_t error = launch_one(launch, CeilDiv(lanes, kThreads));
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

}  // namespace
}  // namespace stepwell::kernels::cuda

#endif  // CC_KERNELS_EMBEDDING_BAG_LAUNCH_CUDA_H_
