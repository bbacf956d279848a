#ifndef CC_KERNELS_EMBEDDING_EMBEDDING_CUDA_H_
#define CC_KERNELS_EMBEDDING_EMBEDDING_CUDA_H_

#include <cuda_runtime_api.h>

#include <cstdint>

#include "cc/kernels/embedding/embedding.h"

// The embedding kernels on the current device. All arrays of `bags` are device memory
// but `tables`, which is host memory and copied into the launch. Every call only
// enqueues work on `stream`: nothing waits, so CUDA graphs can capture it. Calls return
// the launch's error. A bad index or offset is printed with its table, position and
// value and traps the kernel; the next synchronising call then fails. An empty batch
// reads nothing.
namespace stepwell::kernels::cuda {

// Writes the output in bags.output_format. Tables may differ in format, and then take
// a launch a format.
template <typename Index>
cudaError_t EmbeddingBagForward(const EmbeddingBags<Index>& bags, void* output,
                                cudaStream_t stream);

// Adds to table_grads[t] [num_rows, dim], zeroed by the caller, `table_grads` being
// host memory. Adds with atomics: the last bits depend on their order.
template <typename Index>
cudaError_t EmbeddingBagBackward(const EmbeddingBags<Index>& bags,
                                 const float* output_grad, float* const* table_grads,
                                 cudaStream_t stream);

// Writes weights_grad [num_indices]; tables of fp32, fp16 or bf16, all of one format.
template <typename Index>
cudaError_t EmbeddingBagWeightsBackward(const EmbeddingBags<Index>& bags,
                                        const float* output_grad, float* weights_grad,
                                        cudaStream_t stream);

}  // namespace stepwell::kernels::cuda

#endif  // CC_KERNELS_EMBEDDING_EMBEDDING_CUDA_H_
