#ifndef CC_KERNELS_EMBEDDING_EMBEDDING_CUDA_H_
#define CC_KERNELS_EMBEDDING_EMBEDDING_CUDA_H_

#include <cuda_runtime_api.h>

#include "cc/kernels/embedding/embedding.h"

namespace stepwell::kernels {

// The embedding kernels on the current device. All arrays of `bags` are device memory
// but `tables`, which is host memory and copied into the launch. Every call only
// enqueues work on `stream`: nothing waits, so CUDA graphs can capture it. Returns the
// launch's error. A bad index or offset is printed with its table, position and value
// and traps the kernel; the next synchronising call then fails.

// Writes output [batch, output_stride].
template <typename Index>
cudaError_t EmbeddingBagForwardCuda(const EmbeddingBags<Index>& bags, float* output,
                                    cudaStream_t stream);

// Adds to table_grads[t] [num_rows, dim], zeroed by the caller, `table_grads` being
// host memory. Adds with atomics: the last bits depend on their order.
template <typename Index>
cudaError_t EmbeddingBagBackwardCuda(const EmbeddingBags<Index>& bags,
                                     const float* output_grad,
                                     float* const* table_grads, cudaStream_t stream);

// Writes weights_grad [num_indices].
template <typename Index>
cudaError_t EmbeddingBagWeightsBackwardCuda(const EmbeddingBags<Index>& bags,
                                            const float* output_grad,
                                            float* weights_grad, cudaStream_t stream);

}  // namespace stepwell::kernels

#endif  // CC_KERNELS_EMBEDDING_EMBEDDING_CUDA_H_
