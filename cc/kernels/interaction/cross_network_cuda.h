#ifndef CC_KERNELS_INTERACTION_CROSS_NETWORK_CUDA_H_
#define CC_KERNELS_INTERACTION_CROSS_NETWORK_CUDA_H_

#include <cuda_runtime_api.h>

#include <cstdint>

#include "cc/kernels/cuda/elements.h"

namespace stepwell::kernels::cuda {

// What a layer of a cross network does besides its two products, all packed in device
// memory: output = x * (products + bias) + previous, for [batch, width] and bias
// [width]. x, products, bias and output have one element type; sums are float32, and
// `previous` and `state` carry them from layer to layer unrounded.
struct CrossLayer {
  const void* x;
  const void* products;
  const void* bias;
  const float* previous;  // null for the first layer: x
  float* state;           // what the next layer calls previous, may be it; or null
  void* output;
  int64_t batch;
  int64_t width;
};

// Only enqueues work on `stream`; returns the launch's error.
cudaError_t CrossLayerCombine(const CrossLayer& layer, ElementType type,
                              cudaStream_t stream);

}  // namespace stepwell::kernels::cuda

#endif  // CC_KERNELS_INTERACTION_CROSS_NETWORK_CUDA_H_
