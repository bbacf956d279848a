#include <cstdint>

#include "cc/kernels/interaction/interaction_cuda.h"

namespace stepwell::kernels {
namespace {

constexpr int kThreads = 128;

// One odd float between rows keeps the threads of a warp, which read the same component
// of different vectors, in different banks.
__host__ __device__ int64_t RowStride(const InteractionShape& shape) {
  return shape.dim + (shape.dim % 2 == 0 ? 1 : 0);
}

// Reads one sample's vectors into shared memory, vector 0 first.
__device__ void LoadVectors(int64_t num_vectors, int64_t dim, int64_t stride,
                            const float* dense, const float* sparse, float* vectors) {
  for (int64_t at = threadIdx.x; at < num_vectors * dim; at += kThreads) {
    const int64_t vector = at / dim;
    const int64_t d = at - vector * dim;
    vectors[vector * stride + d] =
        vector == 0 ? dense[d] : sparse[(vector - 1) * dim + d];
  }
}

// Finds i > j of a pair's number in the order (1,0) (2,0) (2,1) ...
__device__ void PairOf(int64_t pair, int64_t& i, int64_t& j) {
  i = static_cast<int64_t>((1.0f + sqrtf(1.0f + 8.0f * static_cast<float>(pair))) / 2);
  // The root in float may be off by one for large numbers.
  while (i * (i - 1) / 2 > pair) --i;
  while (i * (i + 1) / 2 <= pair) ++i;
  j = pair - i * (i - 1) / 2;
}

// One block a sample, one thread a pair.
__global__ void ForwardKernel(InteractionShape shape, const float* dense,
                              const float* sparse, float* output) {
  extern __shared__ float vectors[];
  const int64_t dim = shape.dim;
  const int64_t num_vectors = shape.num_sparse + 1;
  const int64_t num_pairs = num_vectors * shape.num_sparse / 2;
  const int64_t stride = RowStride(shape);
  const int64_t sample = blockIdx.x;
  LoadVectors(num_vectors, dim, stride, dense + sample * dim,
              sparse + sample * shape.num_sparse * dim, vectors);
  __syncthreads();
  float* out = output + sample * (dim + num_pairs);
  for (int64_t d = threadIdx.x; d < dim; d += kThreads) out[d] = vectors[d];
  for (int64_t pair = threadIdx.x; pair < num_pairs; pair += kThreads) {
    int64_t i = 0;
    int64_t j = 0;
    PairOf(pair, i, j);
    float dot = 0.0f;
    for (int64_t d = 0; d < dim; ++d) {
      dot += vectors[i * stride + d] * vectors[j * stride + d];
    }
    out[dim + pair] = dot;
  }
}

// One block a sample, one thread a component of one vector's gradient.
__global__ void BackwardKernel(InteractionShape shape, const float* output_grad,
                               const float* dense, const float* sparse,
                               float* dense_grad, float* sparse_grad) {
  extern __shared__ float vectors[];
  const int64_t dim = shape.dim;
  const int64_t num_vectors = shape.num_sparse + 1;
  const int64_t num_pairs = num_vectors * shape.num_sparse / 2;
  const int64_t stride = RowStride(shape);
  const int64_t sample = blockIdx.x;
  float* pairs = vectors + num_vectors * stride;
  const float* grad = output_grad + sample * (dim + num_pairs);
  LoadVectors(num_vectors, dim, stride, dense + sample * dim,
              sparse + sample * shape.num_sparse * dim, vectors);
  for (int64_t pair = threadIdx.x; pair < num_pairs; pair += kThreads) {
    pairs[pair] = grad[dim + pair];
  }
  __syncthreads();
  for (int64_t at = threadIdx.x; at < num_vectors * dim; at += kThreads) {
    const int64_t vector = at / dim;
    const int64_t d = at - vector * dim;
    float sum = vector == 0 ? grad[d] : 0.0f;
    for (int64_t other = 0; other < num_vectors; ++other) {
      if (other == vector) continue;
      const int64_t i = other > vector ? other : vector;
      const int64_t j = other > vector ? vector : other;
      sum += pairs[i * (i - 1) / 2 + j] * vectors[other * stride + d];
    }
    if (vector == 0) {
      dense_grad[sample * dim + d] = sum;
    } else {
      sparse_grad[(sample * shape.num_sparse + vector - 1) * dim + d] = sum;
    }
  }
}

// Allows a kernel the shared memory it needs; past 48 KiB it must be asked for.
template <typename Kernel>
cudaError_t AllowSharedBytes(Kernel kernel, int64_t bytes) {
  constexpr int64_t kAlwaysAllowed = 48 * 1024;
  if (bytes <= kAlwaysAllowed) return cudaSuccess;
  if (bytes > INT32_MAX) return cudaErrorInvalidValue;
  return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                              static_cast<int>(bytes));
}

}  // namespace

cudaError_t DotInteractionForwardCuda(const InteractionShape& shape,
                                      int64_t num_samples, const float* dense,
                                      const float* sparse, float* output,
                                      cudaStream_t stream) {
  if (num_samples == 0) return cudaSuccess;
  if (num_samples > INT32_MAX) return cudaErrorInvalidConfiguration;
  const int64_t bytes =
      shape.num_vectors() * RowStride(shape) * static_cast<int64_t>(sizeof(float));
  const cudaError_t allowed = AllowSharedBytes(ForwardKernel, bytes);
  if (allowed != cudaSuccess) return allowed;
  ForwardKernel<<<static_cast<unsigned>(num_samples), kThreads, bytes, stream>>>(
      shape, dense, sparse, output);
  return cudaGetLastError();
}

cudaError_t DotInteractionBackwardCuda(const InteractionShape& shape,
                                       int64_t num_samples, const float* output_grad,
                                       const float* dense, const float* sparse,
                                       float* dense_grad, float* sparse_grad,
                                       cudaStream_t stream) {
  if (num_samples == 0) return cudaSuccess;
  if (num_samples > INT32_MAX) return cudaErrorInvalidConfiguration;
  const int64_t floats = shape.num_vectors() * RowStride(shape) + shape.num_pairs();
  const int64_t bytes = floats * static_cast<int64_t>(sizeof(float));
  const cudaError_t allowed = AllowSharedBytes(BackwardKernel, bytes);
  if (allowed != cudaSuccess) return allowed;
  BackwardKernel<<<static_cast<unsigned>(num_samples), kThreads, bytes, stream>>>(
      shape, output_grad, dense, sparse, dense_grad, sparse_grad);
  return cudaGetLastError();
}

}  // namespace stepwell::kernels
