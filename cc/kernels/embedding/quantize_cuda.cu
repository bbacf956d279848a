#include <cstdint>
#include <cstdio>

#include "cc/kernels/cuda/elements.h"
#include "cc/kernels/cuda/launch.h"
#include "cc/kernels/embedding/quantize.h"
#include "cc/kernels/embedding/quantize_cuda.h"

namespace stepwell::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarpsPerBlock = kThreads / kWarp;
constexpr float kLargestFloat = 3.402823466e38f;

struct RowSizes {
  int64_t num_rows;
  int64_t dim;
  int64_t row_bytes;
};

__device__ __forceinline__ bool IsFinite(float value) {
  return fabsf(value) <= kLargestFloat;
}

STEPWELL_NOINLINE __device__ void FailOnValue(int64_t row, int64_t column,
                                              float value) {
  printf("stepwell: rows[%lld, %lld] is %g, which the row format cannot hold\n",
         static_cast<long long>(row), static_cast<long long>(column),
         static_cast<double>(value));
  __trap();
}

__device__ __forceinline__ int64_t WarpOfGrid() {
  return static_cast<int64_t>(blockIdx.x) * kWarpsPerBlock + threadIdx.x / kWarp;
}

// Rows of T, element by element.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    ConvertKernel(RowSizes sizes, const float* rows, T* packed) {
  const int64_t row = WarpOfGrid();
  if (row >= sizes.num_rows) return;
  for (int64_t d = threadIdx.x % kWarp; d < sizes.dim; d += kWarp) {
    const float value = rows[row * sizes.dim + d];
    T converted;
    FromFloat(value, converted);
    if (!IsFinite(value) || !IsFinite(ToFloat(converted))) FailOnValue(row, d, value);
    packed[row * sizes.dim + d] = converted;
  }
}

struct Range {
  float lowest;
  float highest;
};

// The range of a row, in every lane.
__device__ __forceinline__ Range RangeOfRow(int64_t row, const float* values,
                                            int64_t dim) {
  Range range = {kLargestFloat, -kLargestFloat};
  for (int64_t d = threadIdx.x % kWarp; d < dim; d += kWarp) {
    const float value = values[d];
    if (!IsFinite(value)) FailOnValue(row, d, value);
    range.lowest = fminf(range.lowest, value);
    range.highest = fmaxf(range.highest, value);
  }
  for (int step = kWarp / 2; step > 0; step /= 2) {
    range.lowest = fminf(range.lowest, __shfl_xor_sync(kWholeWarp, range.lowest, step));
    range.highest =
        fmaxf(range.highest, __shfl_xor_sync(kWholeWarp, range.highest, step));
  }
  return range;
}

// Fails on the largest value of a row that spans more than codes can tell apart.
__device__ __forceinline__ void CheckSpan(int64_t row, const float* values, int64_t dim,
                                          const Range& range) {
  if (static_cast<double>(range.highest) - range.lowest <= kMaxRowSpan) return;
  for (int64_t d = threadIdx.x % kWarp; d < dim; d += kWarp) {
    if (values[d] == range.highest) FailOnValue(row, d, values[d]);
  }
}

// Of a row's codes; 0 past the row's end, which is the padding.
struct Coder {
  const float* values;
  int64_t dim;
  double lowest;
  double scale;
  double levels;

  __device__ __forceinline__ unsigned Code(int64_t column) const {
    if (column >= dim || scale == 0.0) return 0;
    const double code = rint((static_cast<double>(values[column]) - lowest) / scale);
    return static_cast<unsigned>(code < 0.0 ? 0.0 : code > levels ? levels : code);
  }
};

// One warp a row: its range, then its codes byte by byte.
template <int kBits>
__global__ void __launch_bounds__(kThreads)
    QuantizeKernel(RowSizes sizes, const float* rows, unsigned char* packed) {
  const int64_t row = WarpOfGrid();
  if (row >= sizes.num_rows) return;
  constexpr double kLevels = (1 << kBits) - 1;
  const float* values = rows + row * sizes.dim;
  unsigned char* to = packed + row * sizes.row_bytes;
  const Range range = RangeOfRow(row, values, sizes.dim);
  CheckSpan(row, values, sizes.dim, range);
  const double lowest = range.lowest;
  const float scale =
      static_cast<float>((static_cast<double>(range.highest) - lowest) / kLevels);
  if (threadIdx.x % kWarp == 0) {
    reinterpret_cast<float*>(to)[0] = scale;
    reinterpret_cast<float*>(to)[1] = range.lowest;
  }
  const Coder coder = {values, sizes.dim, lowest, scale, kLevels};
  for (int64_t byte = threadIdx.x % kWarp; byte < sizes.row_bytes - kRowHeaderBytes;
       byte += kWarp) {
    const unsigned code = kBits == 8
                              ? coder.Code(byte)
                              : coder.Code(2 * byte) | coder.Code(2 * byte + 1) << 4;
    to[kRowHeaderBytes + byte] = static_cast<unsigned char>(code);
  }
}

template <typename T>
__global__ void __launch_bounds__(kThreads)
    WidenKernel(int64_t count, const T* packed, float* rows) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (at < count) rows[at] = ToFloat(packed[at]);
}

template <int kBits>
__global__ void __launch_bounds__(kThreads)
    DequantizeKernel(RowSizes sizes, const unsigned char* packed, float* rows) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (at >= sizes.num_rows * sizes.dim) return;
  const int64_t row = at / sizes.dim;
  const int64_t column = at - row * sizes.dim;
  const unsigned char* from = packed + row * sizes.row_bytes;
  const unsigned byte = from[kRowHeaderBytes + column * kBits / 8];
  const unsigned code = kBits == 8 ? byte : (byte >> (column % 2 * 4)) & 15u;
  const float* header = reinterpret_cast<const float*>(from);
  // Two operations, each rounded, as on the CPU.
  rows[at] = __fadd_rn(__fmul_rn(header[0], static_cast<float>(code)), header[1]);
}

template <typename T>
cudaError_t Convert(const RowSizes& sizes, const float* rows, unsigned char* packed,
                    cudaStream_t stream) {
  return Launch(ConvertKernel<T>,
                {CeilDiv(sizes.num_rows, kWarpsPerBlock), kThreads, 0}, stream, sizes,
                rows, reinterpret_cast<T*>(packed));
}

template <int kBits>
cudaError_t Quantize(const RowSizes& sizes, const float* rows, unsigned char* packed,
                     cudaStream_t stream) {
  return Launch(QuantizeKernel<kBits>,
                {CeilDiv(sizes.num_rows, kWarpsPerBlock), kThreads, 0}, stream, sizes,
                rows, packed);
}

template <typename T>
cudaError_t Widen(const RowSizes& sizes, const unsigned char* packed, float* rows,
                  cudaStream_t stream) {
  const int64_t count = sizes.num_rows * sizes.dim;
  return Launch(WidenKernel<T>, {CeilDiv(count, kThreads), kThreads, 0}, stream, count,
                reinterpret_cast<const T*>(packed), rows);
}

template <int kBits>
cudaError_t Dequantize(const RowSizes& sizes, const unsigned char* packed, float* rows,
                       cudaStream_t stream) {
  const int64_t count = sizes.num_rows * sizes.dim;
  return Launch(DequantizeKernel<kBits>, {CeilDiv(count, kThreads), kThreads, 0},
                stream, sizes, packed, rows);
}

}  // namespace

cudaError_t QuantizeRows(const float* rows, int64_t num_rows, int64_t dim,
                         RowFormat format, unsigned char* packed, cudaStream_t stream) {
  const RowSizes sizes = {num_rows, dim, RowBytes(format, dim)};
  switch (format) {
    case RowFormat::kFloat32:
      return Convert<float>(sizes, rows, packed, stream);
    case RowFormat::kFloat16:
      return Convert<__half>(sizes, rows, packed, stream);
    case RowFormat::kBfloat16:
      return Convert<__nv_bfloat16>(sizes, rows, packed, stream);
    case RowFormat::kInt8:
      return Quantize<8>(sizes, rows, packed, stream);
    case RowFormat::kInt4:
      return Quantize<4>(sizes, rows, packed, stream);
  }
  return cudaErrorInvalidValue;
}

cudaError_t DequantizeRows(const unsigned char* packed, int64_t num_rows, int64_t dim,
                           RowFormat format, float* rows, cudaStream_t stream) {
  const RowSizes sizes = {num_rows, dim, RowBytes(format, dim)};
  switch (format) {
    case RowFormat::kFloat32:
      return Widen<float>(sizes, packed, rows, stream);
    case RowFormat::kFloat16:
      return Widen<__half>(sizes, packed, rows, stream);
    case RowFormat::kBfloat16:
      return Widen<__nv_bfloat16>(sizes, packed, rows, stream);
    case RowFormat::kInt8:
      return Dequantize<8>(sizes, packed, rows, stream);
    case RowFormat::kInt4:
      return Dequantize<4>(sizes, packed, rows, stream);
  }
  return cudaErrorInvalidValue;
}

}  // namespace stepwell::kernels::cuda
