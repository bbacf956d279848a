#ifndef CC_KERNELS_INTERACTION_INTERACTION_CUDA_H_
#define CC_KERNELS_INTERACTION_INTERACTION_CUDA_H_

#include <cuda_runtime_api.h>

#include <cstdint>

#include "cc/kernels/cuda/elements.h"

namespace stepwell::kernels::cuda {

// Samples of `num_head + num_tail` vectors of `dim` elements, in device memory. Vector
// v of sample s is head + s * head_stride + v * dim for v < num_head, then the sample's
// row of tail [num_samples, num_tail, dim]. So a dot interaction is a head of one
// vector and stride dim; a request interaction a head of the user's vectors and stride
// 0.
struct Samples {
  const void* head;
  const void* tail;
  int64_t num_samples;
  int64_t num_head;
  int64_t num_tail;
  int64_t dim;
  int64_t head_stride;

  int64_t num_vectors() const { return num_head + num_tail; }
  int64_t num_pairs() const { return num_vectors() * (num_vectors() - 1) / 2; }
  // Columns of the output: vector 0, then the dots of the pairs (1,0) (2,0) (2,1) ...
  int64_t output_dim() const { return dim + num_pairs(); }
};

// The interaction kernels on the current device: float32 or bfloat16 (summed in
// float32) in and out. They only enqueue work on `stream`; CUDA graphs can capture
// them. Deterministic. Return the launch's error. bfloat16 runs on tensor cores when
// dim is a multiple of 16, there are at most 64 vectors, they fit into a block's shared
// memory, and all pointers are aligned to 16 bytes. Samples that do not fit into shared
// memory are read from device memory, slowly.

// Writes output [num_samples, output_dim()].
cudaError_t InteractionForward(const Samples& samples, ElementType type, void* output,
                               cudaStream_t stream);

// Writes the gradients of a dot interaction (num_head = 1, head_stride = dim), in the
// shapes of head and tail, from output_grad [num_samples, output_dim()].
cudaError_t InteractionBackward(const Samples& samples, ElementType type,
                                const void* output_grad, void* head_grad,
                                void* tail_grad, cudaStream_t stream);

// The tensor core path alone; cudaErrorInvalidValue where CanUseTensorCores says no.
bool CanUseTensorCores(const Samples& samples, ElementType type);
cudaError_t TensorCoreForward(const Samples& samples, void* output,
                              cudaStream_t stream);
cudaError_t TensorCoreBackward(const Samples& samples, const void* output_grad,
                               void* head_grad, void* tail_grad, cudaStream_t stream);

}  // namespace stepwell::kernels::cuda

#endif  // CC_KERNELS_INTERACTION_INTERACTION_CUDA_H_
