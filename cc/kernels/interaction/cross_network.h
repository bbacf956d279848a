#ifndef CC_KERNELS_INTERACTION_CROSS_NETWORK_H_
#define CC_KERNELS_INTERACTION_CROSS_NETWORK_H_

#include <cstdint>

#include "cc/kernels/simd/isa.h"

namespace stepwell::kernels {

// Sizes of a cross network with low-rank layers (Wang et al., arXiv:2008.13535, eq. 3).
struct CrossNetworkShape {
  int64_t num_layers;
  int64_t width;
  int64_t rank;
};

// Computes x_L of `num_samples` rows, where x_0 is `x` and
//
//   x_{l+1} = x_0 * (x_l down_l up_l + bias_l) + x_l
//
// with x and output [num_samples, width], down [num_layers, width, rank], up
// [num_layers, rank, width] and bias [num_layers, width], all packed. All layers run
// over one block of samples before the next, so that x_l stays in the cache. `output`
// and `x` must not overlap.
// Safe to call at once for disjoint samples; a sample's result does not depend on the
// others. Cost: 2 * num_layers * width * rank multiply-adds a sample.
void CrossNetworkForward(const CrossNetworkShape& shape, int64_t num_samples,
                         const float* x, const float* down, const float* up,
                         const float* bias, float* output, Isa isa = BestIsa());

}  // namespace stepwell::kernels

#endif  // CC_KERNELS_INTERACTION_CROSS_NETWORK_H_
