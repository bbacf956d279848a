#include <cstdint>

#include "cc/kernels/cuda/elements.h"
#include "cc/kernels/cuda/launch.h"
#include "cc/kernels/interaction/interaction_cuda.h"

// The general kernels: any sizes, one block a sample, float32 in shared memory.
namespace stepwell::kernels::cuda {
namespace {

constexpr int kThreads = 128;
// What one block may have on sm_90.
constexpr int64_t kMaxSharedBytes = int64_t{227} * 1024;

// An odd number of floats between rows keeps the threads of a warp, which read the same
// component of different vectors, in different banks.
__host__ __device__ __forceinline__ int64_t RowStride(int64_t dim) {
  return dim + (dim % 2 == 0 ? 1 : 0);
}

template <typename T>
__device__ __forceinline__ const T* VectorOf(const Samples& samples, int64_t sample,
                                             int64_t vector) {
  if (vector < samples.num_head) {
    return static_cast<const T*>(samples.head) + sample * samples.head_stride +
           vector * samples.dim;
  }
  const int64_t row = sample * samples.num_tail + vector - samples.num_head;
  return static_cast<const T*>(samples.tail) + row * samples.dim;
}

// One sample's vectors: in shared memory as floats, or where they are.
template <typename T, bool kShared>
class BlockVectors {
 public:
  __device__ BlockVectors(const Samples& samples, int64_t sample, float* shared)
      : samples_(samples),
        sample_(sample),
        shared_(shared),
        stride_(RowStride(samples.dim)) {}

  __device__ void Load() {
    if constexpr (kShared) {
      const int64_t dim = samples_.dim;
      const int64_t num_vectors = samples_.num_head + samples_.num_tail;
      for (int64_t at = threadIdx.x; at < num_vectors * dim; at += kThreads) {
        const int64_t vector = at / dim;
        const int64_t d = at - vector * dim;
        const T* source = VectorOf<T>(samples_, sample_, vector);
        shared_[vector * stride_ + d] = ToFloat(source[d]);
      }
      __syncthreads();
    }
  }

  __device__ __forceinline__ float At(int64_t vector, int64_t d) const {
    if constexpr (kShared) return shared_[vector * stride_ + d];
    return ToFloat(VectorOf<T>(samples_, sample_, vector)[d]);
  }

 private:
  const Samples& samples_;
  int64_t sample_;
  float* shared_;
  int64_t stride_;
};

// Finds i > j of a pair's number in the order (1,0) (2,0) (2,1) ...
__device__ __forceinline__ void PairOf(int64_t pair, int64_t& i, int64_t& j) {
  i = static_cast<int64_t>((1.0f + sqrtf(1.0f + 8.0f * static_cast<float>(pair))) / 2);
  // The root in float may be off for large numbers.
  while (i * (i - 1) / 2 > pair) --i;
  while (i * (i + 1) / 2 <= pair) ++i;
  j = pair - i * (i - 1) / 2;
}

// One thread a pair.
template <typename T, bool kShared>
__global__ void __launch_bounds__(kThreads)
    ForwardKernel(const __grid_constant__ Samples samples, T* output) {
  STEPWELL_DYNAMIC_SHARED(forward_shared);
  const int64_t sample = blockIdx.x;
  BlockVectors<T, kShared> vectors(samples, sample,
                                   reinterpret_cast<float*>(forward_shared));
  vectors.Load();
  const int64_t dim = samples.dim;
  const int64_t num_vectors = samples.num_head + samples.num_tail;
  const int64_t num_pairs = num_vectors * (num_vectors - 1) / 2;
  T* out = output + sample * (dim + num_pairs);
  for (int64_t d = threadIdx.x; d < dim; d += kThreads) {
    FromFloat(vectors.At(0, d), out[d]);
  }
  for (int64_t pair = threadIdx.x; pair < num_pairs; pair += kThreads) {
    int64_t i = 0;
    int64_t j = 0;
    PairOf(pair, i, j);
    float dot = 0.0f;
    for (int64_t d = 0; d < dim; ++d) dot += vectors.At(i, d) * vectors.At(j, d);
    FromFloat(dot, out[dim + pair]);
  }
}

template <typename T>
struct Gradients {
  const T* output;
  T* head;
  T* tail;
};

// One thread a component of one vector's gradient, of a dot interaction.
template <typename T, bool kShared>
__global__ void __launch_bounds__(kThreads)
    BackwardKernel(const __grid_constant__ Samples samples, Gradients<T> gradients) {
  STEPWELL_DYNAMIC_SHARED(backward_shared);
  const int64_t sample = blockIdx.x;
  BlockVectors<T, kShared> vectors(samples, sample,
                                   reinterpret_cast<float*>(backward_shared));
  vectors.Load();
  const int64_t dim = samples.dim;
  const int64_t num_vectors = 1 + samples.num_tail;
  const int64_t num_pairs = num_vectors * (num_vectors - 1) / 2;
  const T* grad = gradients.output + sample * (dim + num_pairs);
  const T* pairs = grad + dim;
  for (int64_t at = threadIdx.x; at < num_vectors * dim; at += kThreads) {
    const int64_t vector = at / dim;
    const int64_t d = at - vector * dim;
    float sum = vector == 0 ? ToFloat(grad[d]) : 0.0f;
    for (int64_t other = 0; other < num_vectors; ++other) {
      if (other == vector) continue;
      const int64_t i = other > vector ? other : vector;
      const int64_t j = other > vector ? vector : other;
      sum += ToFloat(pairs[i * (i - 1) / 2 + j]) * vectors.At(other, d);
    }
    if (vector == 0) {
      FromFloat(sum, gradients.head[sample * dim + d]);
    } else {
      FromFloat(sum,
                gradients.tail[(sample * samples.num_tail + vector - 1) * dim + d]);
    }
  }
}

int64_t SharedBytes(const Samples& samples) {
  return samples.num_vectors() * RowStride(samples.dim) *
         static_cast<int64_t>(sizeof(float));
}

template <typename T>
cudaError_t GeneralForward(const Samples& samples, void* output, cudaStream_t stream) {
  T* to = static_cast<T*>(output);
  const int64_t bytes = SharedBytes(samples);
  if (bytes > kMaxSharedBytes) {
    return Launch(ForwardKernel<T, false>, {samples.num_samples, kThreads, 0}, stream,
                  samples, to);
  }
  return Launch(ForwardKernel<T, true>, {samples.num_samples, kThreads, bytes}, stream,
                samples, to);
}

template <typename T>
cudaError_t GeneralBackward(const Samples& samples, const void* output_grad,
                            void* head_grad, void* tail_grad, cudaStream_t stream) {
  const Gradients<T> gradients = {static_cast<const T*>(output_grad),
                                  static_cast<T*>(head_grad),
                                  static_cast<T*>(tail_grad)};
  const int64_t bytes = SharedBytes(samples);
  if (bytes > kMaxSharedBytes) {
    return Launch(BackwardKernel<T, false>, {samples.num_samples, kThreads, 0}, stream,
                  samples, gradients);
  }
  return Launch(BackwardKernel<T, true>, {samples.num_samples, kThreads, bytes}, stream,
                samples, gradients);
}

}  // namespace

cudaError_t InteractionForward(const Samples& samples, ElementType type, void* output,
                               cudaStream_t stream) {
  if (CanUseTensorCores(samples, type)) {
    return TensorCoreForward(samples, output, stream);
  }
  if (type == ElementType::kFloat32) {
    return GeneralForward<float>(samples, output, stream);
  }
  if (type == ElementType::kBfloat16) {
    return GeneralForward<__nv_bfloat16>(samples, output, stream);
  }
  return cudaErrorInvalidValue;
}

cudaError_t InteractionBackward(const Samples& samples, ElementType type,
                                const void* output_grad, void* head_grad,
                                void* tail_grad, cudaStream_t stream) {
  if (samples.num_head != 1 || samples.head_stride != samples.dim) {
    return cudaErrorInvalidValue;
  }
  const uintptr_t grads =
      reinterpret_cast<uintptr_t>(head_grad) | reinterpret_cast<uintptr_t>(tail_grad);
  if (CanUseTensorCores(samples, type) && grads % 16 == 0) {
    return TensorCoreBackward(samples, output_grad, head_grad, tail_grad, stream);
  }
  if (type == ElementType::kFloat32) {
    return GeneralBackward<float>(samples, output_grad, head_grad, tail_grad, stream);
  }
  if (type == ElementType::kBfloat16) {
    return GeneralBackward<__nv_bfloat16>(samples, output_grad, head_grad, tail_grad,
                                          stream);
  }
  return cudaErrorInvalidValue;
}

}  // namespace stepwell::kernels::cuda
