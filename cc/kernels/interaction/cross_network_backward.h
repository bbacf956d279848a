#ifndef CC_KERNELS_INTERACTION_CROSS_NETWORK_BACKWARD_H_
#define CC_KERNELS_INTERACTION_CROSS_NETWORK_BACKWARD_H_

#include <cstdint>

#include "cc/kernels/interaction/cross_network.h"
#include "cc/kernels/simd/isa.h"

namespace stepwell::kernels {

// The arrays of a backward pass, all packed; B samples, L layers, width W, rank R. No
// two may overlap.
struct CrossNetworkBackward {
  CrossNetworkShape shape;
  int64_t batch;

  // As CrossNetworkForward takes them; `grad` [B, W] is that of its output.
  const float* grad;
  const float* x;
  const float* down;
  const float* up;
  const float* bias;
  // The same weights with their matrices transposed: [L, R, W] and [L, W, R].
  const float* down_transposed;
  const float* up_transposed;

  // What the part over samples leaves for the part over weights: x_{l+1} [L, B, W], of
  // which the last layer's is not used, x_l down_l [L, B, R], and the gradients of
  // x_l down_l up_l + bias_l [L, B, W] and of x_l down_l [L, B, R].
  float* inputs;
  float* hidden;
  float* crossed_grad;
  float* hidden_grad;

  // The gradients: [B, W], [L, R, W], [L, R, W], [L, W].
  float* x_grad;
  float* down_grad_transposed;
  float* up_grad;
  float* bias_grad;
};

// First part: runs the layers of samples [first, last) again and back, and fills their
// share of the arrays between and of x_grad. Safe to call at once for disjoint samples;
// a sample's result does not depend on the others. Cost: 4 * L * W * R multiply-adds a
// sample, and scratch for a block of samples.
void CrossNetworkBackwardSamples(const CrossNetworkBackward& pass, int64_t first,
                                 int64_t last, Isa isa = BestIsa());

// Second part, after the first is done for all samples: fills columns [first, last) of
// layer `layer` of the gradients of the weights, adding the samples up in their order.
// Safe to call at once for disjoint columns. Cost: 2 * B * R * (last - first).
void CrossNetworkBackwardWeights(const CrossNetworkBackward& pass, int64_t layer,
                                 int64_t first, int64_t last, Isa isa = BestIsa());

}  // namespace stepwell::kernels

#endif  // CC_KERNELS_INTERACTION_CROSS_NETWORK_BACKWARD_H_
