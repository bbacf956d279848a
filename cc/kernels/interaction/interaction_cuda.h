#ifndef CC_KERNELS_INTERACTION_INTERACTION_CUDA_H_
#define CC_KERNELS_INTERACTION_INTERACTION_CUDA_H_

#include <cuda_runtime_api.h>

#include <cstdint>

#include "cc/kernels/interaction/interaction.h"

namespace stepwell::kernels {

// The interaction kernels on the current device, in device memory laid out as for the
// CPU. They only enqueue work on `stream`; CUDA graphs can capture them. Deterministic.
// Return the launch's error: cudaErrorInvalidValue when a sample does not fit into the
// shared memory of a block.
cudaError_t DotInteractionForwardCuda(const InteractionShape& shape,
                                      int64_t num_samples, const float* dense,
                                      const float* sparse, float* output,
                                      cudaStream_t stream);

cudaError_t DotInteractionBackwardCuda(const InteractionShape& shape,
                                       int64_t num_samples, const float* output_grad,
                                       const float* dense, const float* sparse,
                                       float* dense_grad, float* sparse_grad,
                                       cudaStream_t stream);

}  // namespace stepwell::kernels

#endif  // CC_KERNELS_INTERACTION_INTERACTION_CUDA_H_
