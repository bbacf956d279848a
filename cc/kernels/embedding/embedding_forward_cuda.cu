#include <cstdint>
#include <vector>

#include "cc/kernels/cuda/elements.h"
#include "cc/kernels/cuda/launch.h"
#include "cc/kernels/embedding/bag_launch_cuda.h"
#include "cc/kernels/embedding/embedding_cuda.h"
#include "cc/kernels/embedding/row_reader_cuda.h"

namespace stepwell::kernels::cuda {
namespace {

// Rows that a lane has under way at once: a bag of 20 takes five turns without waste,
// and with 16 bytes a lane this is far more than the memory's latency asks for.
constexpr int kInFlight = 4;

// Loads of up to kInFlight entries from `position` on.
template <typename Reader>
struct Entries {
  typename Reader::Raw raw[kInFlight];
  float weights[kInFlight];
};

// Indices first, then rows, so that neither waits for one of its own kind.
template <typename Reader, typename Index>
__device__ __forceinline__ void LoadEntries(const BagLaunch<Index>& launch,
                                            const GroupBag& bag, int64_t position,
                                            int64_t column, Entries<Reader>& entries) {
  const Table& table = launch.tables[bag.table];
  int64_t rows[kInFlight];
  int64_t wrong = -1;
  STEPWELL_UNROLL
  for (int k = 0; k < kInFlight; ++k) {
    rows[k] = -1;
    if (position + k >= bag.end) continue;
    const int64_t index = __ldg(launch.bags.indices + position + k);
    const bool good = index >= -1 && index < table.num_rows;
    if (!good && wrong < 0) wrong = position + k;
    if (good) rows[k] = index < 0 ? table.default_row : index;
  }
  STEPWELL_UNROLL
  for (int k = 0; k < kInFlight; ++k) {
    entries.raw[k] = {};
    entries.weights[k] = 0.0f;
    if (rows[k] < 0) continue;
    entries.raw[k] = Reader::Load(table.rows + rows[k] * table.row_bytes, column);
    entries.weights[k] = WeightOf(launch, position + k);
  }
  // The message is made by reading the entry again.
  if (wrong >= 0) CheckedRow(launch, table, wrong);
}

// Stores columns [first, first + kCount) of the values in one piece.
template <typename Output, int kCount, int kColumns>
__device__ __forceinline__ void StorePiece(const float (&values)[kColumns], float scale,
                                           int first, Output* to) {
  Pack<Output, kCount> pack;
  STEPWELL_UNROLL
  for (int k = 0; k < kCount; ++k) FromFloat(values[first + k] * scale, pack.at[k]);
  StoreOnce(to + first, pack);
}

// Writes the columns that the row really has.
template <typename Output, int kColumns>
__device__ __forceinline__ void StoreColumns(const float (&values)[kColumns],
                                             float scale, int64_t columns_left,
                                             bool aligned, Output* to) {
  constexpr int kMost = 16 / sizeof(Output);
  constexpr int kCount = kColumns < kMost ? kColumns : kMost;
  if (aligned && columns_left >= kColumns) {
    STEPWELL_UNROLL
    for (int first = 0; first < kColumns; first += kCount) {
      StorePiece<Output, kCount>(values, scale, first, to);
    }
    return;
  }
  STEPWELL_UNROLL
  for (int k = 0; k < kColumns; ++k) {
    if (k < columns_left) FromFloat(values[k] * scale, to[k]);
  }
}

template <typename Output, int kColumns>
__device__ __forceinline__ bool IsAligned(const Output* to) {
  constexpr int kWanted =
      sizeof(Output) * kColumns < 16 ? sizeof(Output) * kColumns : 16;
  return reinterpret_cast<uintptr_t>(to) % kWanted == 0;
}

template <typename Reader, typename Output, typename Index>
__device__ __forceinline__ void PoolBag(const BagLaunch<Index>& launch,
                                        const GroupBag& bag, Output* output) {
  constexpr int kColumns = Reader::kColumns;
  const int64_t dim = launch.tables[bag.table].dim;
  Output* out = output + OutputAt(launch, bag);
  const int64_t step = static_cast<int64_t>(launch.group_lanes) * kColumns;
  for (int64_t column = bag.lane * kColumns; column < dim; column += step) {
    float sums[kColumns] = {};
    for (int64_t position = bag.begin; position < bag.end; position += kInFlight) {
      Entries<Reader> entries;
      LoadEntries<Reader>(launch, bag, position, column, entries);
      STEPWELL_UNROLL
      for (int k = 0; k < kInFlight; ++k) {
        float values[kColumns];
        Reader::Values(entries.raw[k], values);
        STEPWELL_UNROLL
        for (int c = 0; c < kColumns; ++c) sums[c] += entries.weights[k] * values[c];
      }
    }
    StoreColumns(sums, bag.scale, dim - column,
                 IsAligned<Output, kColumns>(out + column), out + column);
  }
}

// Without pooling: one row an entry, times its weight.
template <typename Reader, typename Output, typename Index>
__device__ __forceinline__ void CopyEntries(const BagLaunch<Index>& launch,
                                            const GroupBag& bag, Output* output) {
  constexpr int kColumns = Reader::kColumns;
  const int64_t dim = launch.tables[bag.table].dim;
  const int64_t step = static_cast<int64_t>(launch.group_lanes) * kColumns;
  for (int64_t column = bag.lane * kColumns; column < dim; column += step) {
    for (int64_t position = bag.begin; position < bag.end; position += kInFlight) {
      Entries<Reader> entries;
      LoadEntries<Reader>(launch, bag, position, column, entries);
      STEPWELL_UNROLL
      for (int k = 0; k < kInFlight; ++k) {
        if (position + k >= bag.end) continue;
        float values[kColumns];
        Reader::Values(entries.raw[k], values);
        Output* out = output + EntryAt(launch, position + k) + column;
        StoreColumns(values, entries.weights[k], dim - column,
                     IsAligned<Output, kColumns>(out), out);
      }
    }
  }
}

template <typename Reader, typename Output, typename Index>
__global__ void __launch_bounds__(kThreads)
    ForwardKernel(const __grid_constant__ BagLaunch<Index> launch, Output* output) {
  const GroupBag bag = BagOfGroup(launch);
  if (!bag.active) return;
  if (launch.bags.pooling == Pooling::kNone) {
    CopyEntries<Reader>(launch, bag, output);
  } else {
    PoolBag<Reader>(launch, bag, output);
  }
}

template <typename Reader, typename Output, typename Index>
cudaError_t LaunchWith(const std::vector<Table>& tables,
                       const EmbeddingBags<Index>& bags, void* output,
                       cudaStream_t stream) {
  return ForEachLaunch(tables, bags, Reader::kColumns,
                       [&](const BagLaunch<Index>& launch, int64_t blocks) {
                         return Launch(ForwardKernel<Reader, Output, Index>,
                                       {blocks, kThreads, 0}, stream, launch,
                                       static_cast<Output*>(output));
                       });
}

// Whether every row can be read in pieces of `bytes`.
bool RowsComeInPieces(const std::vector<Table>& tables, int64_t bytes) {
  for (const Table& table : tables) {
    if (table.row_bytes % bytes != 0) return false;
    if (reinterpret_cast<uintptr_t>(table.rows) % bytes != 0) return false;
  }
  return true;
}

template <typename Row, typename Output, typename Index>
cudaError_t LaunchFloats(const std::vector<Table>& tables,
                         const EmbeddingBags<Index>& bags, void* output,
                         cudaStream_t stream) {
  if (RowsComeInPieces(tables, 16)) {
    using Reader = FloatReader<Row, 16 / sizeof(Row)>;
    return LaunchWith<Reader, Output>(tables, bags, output, stream);
  }
  return LaunchWith<FloatReader<Row, 1>, Output>(tables, bags, output, stream);
}

template <typename Output, typename Index>
cudaError_t LaunchFormat(RowFormat format, const EmbeddingBags<Index>& bags,
                         void* output, cudaStream_t stream) {
  const std::vector<Table> tables = TablesOf(bags, &format, nullptr);
  if (tables.empty()) return cudaSuccess;
  switch (format) {
    case RowFormat::kFloat32:
      return LaunchFloats<float, Output>(tables, bags, output, stream);
    case RowFormat::kFloat16:
      return LaunchFloats<__half, Output>(tables, bags, output, stream);
    case RowFormat::kBfloat16:
      return LaunchFloats<__nv_bfloat16, Output>(tables, bags, output, stream);
    case RowFormat::kInt8:
      return LaunchWith<CodeReader<8>, Output>(tables, bags, output, stream);
    case RowFormat::kInt4:
      return LaunchWith<CodeReader<4>, Output>(tables, bags, output, stream);
  }
  return cudaErrorInvalidValue;
}

template <typename Output, typename Index>
cudaError_t LaunchFormats(const EmbeddingBags<Index>& bags, void* output,
                          cudaStream_t stream) {
  for (int32_t number = 0; number < kNumRowFormats; ++number) {
    const cudaError_t error =
        LaunchFormat<Output>(static_cast<RowFormat>(number), bags, output, stream);
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

}  // namespace

template <typename Index>
cudaError_t EmbeddingBagForward(const EmbeddingBags<Index>& bags, void* output,
                                cudaStream_t stream) {
  switch (bags.output_format) {
    case RowFormat::kFloat32:
      return LaunchFormats<float>(bags, output, stream);
    case RowFormat::kBfloat16:
      return LaunchFormats<__nv_bfloat16>(bags, output, stream);
    case RowFormat::kFloat16: {
      // Only tables of fp16 have it as their output.
      const RowFormat format = RowFormat::kFloat16;
      const std::vector<Table> tables = TablesOf(bags, &format, nullptr);
      if (static_cast<int64_t>(tables.size()) != bags.num_tables) {
        return cudaErrorInvalidValue;
      }
      return LaunchFloats<__half, __half>(tables, bags, output, stream);
    }
    default:
      return cudaErrorInvalidValue;
  }
}

template cudaError_t EmbeddingBagForward<int32_t>(const EmbeddingBags<int32_t>&, void*,
                                                  cudaStream_t);
template cudaError_t EmbeddingBagForward<int64_t>(const EmbeddingBags<int64_t>&, void*,
                                                  cudaStream_t);

}  // namespace stepwell::kernels::cuda
