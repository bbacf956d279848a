#ifndef CC_KERNELS_INTERACTION_INTERACTION_H_
#define CC_KERNELS_INTERACTION_INTERACTION_H_

#include <cstdint>

#include "cc/kernels/simd/isa.h"

namespace stepwell::kernels {

// Sizes of a DLRM dot interaction (Naumov et al., arXiv:1906.00091, section 2.1.4).
// Each sample has 1 + num_sparse vectors of `dim` floats: vector 0 is its dense vector,
// vector f is its sparse vector f - 1.
struct InteractionShape {
  int64_t num_sparse;
  int64_t dim;

  int64_t num_vectors() const { return num_sparse + 1; }
  int64_t num_pairs() const { return num_vectors() * num_sparse / 2; }
  // Floats of one output row: the dense vector, then the dots of the pairs i > j in the
  // order (1,0) (2,0) (2,1) (3,0) ...
  int64_t output_dim() const { return dim + num_pairs(); }
};

// Computes `num_samples` rows of output: dense [num_samples, dim], sparse
// [num_samples, num_sparse, dim], output [num_samples, output_dim()], all packed.
// Safe to call at once for disjoint samples; a sample's result does not depend on the
// others. Cost: O(num_vectors^2 * dim) a sample, and scratch for one sample's vectors.
void DotInteractionForward(const InteractionShape& shape, int64_t num_samples,
                           const float* dense, const float* sparse, float* output,
                           Isa isa = BestIsa());

// Computes the gradients of dense and sparse, in their shapes, from that of the output.
// Concurrency and cost as in DotInteractionForward.
void DotInteractionBackward(const InteractionShape& shape, int64_t num_samples,
                            const float* output_grad, const float* dense,
                            const float* sparse, float* dense_grad, float* sparse_grad,
                            Isa isa = BestIsa());

}  // namespace stepwell::kernels

#endif  // CC_KERNELS_INTERACTION_INTERACTION_H_
