#ifndef CC_KERNELS_INTERACTION_INTERACTION_H_
#define CC_KERNELS_INTERACTION_INTERACTION_H_

#include <cstdint>

#include "cc/kernels/simd/isa.h"

namespace stepwell::kernels {

// A bfloat16 number by its bits: the high half of a float.
struct Bfloat16 {
  uint16_t bits;
};

// Sizes of a DLRM dot interaction (Naumov et al., arXiv:1906.00091, section 2.1.4).
// Each sample has 1 + num_sparse vectors of `dim` elements: vector 0 is its dense
// vector, vector f is its sparse vector f - 1.
struct InteractionShape {
  int64_t num_sparse;
  int64_t dim;

  int64_t num_vectors() const { return num_sparse + 1; }
  int64_t num_pairs() const { return num_vectors() * num_sparse / 2; }
  // Elements of one output row: the dense vector, then the dots of the pairs i > j in
  // the order (1,0) (2,0) (2,1) (3,0) ...
  int64_t output_dim() const { return dim + num_pairs(); }
};

// Sizes of the dot interaction of one request: every sample's first num_user >= 1
// vectors, of which the first is the dense one, are the user's; num_items are its own.
struct RequestShape {
  int64_t num_user;
  int64_t num_items;
  int64_t dim;

  int64_t num_vectors() const { return num_user + num_items; }
  int64_t output_dim() const {
    return InteractionShape{num_vectors() - 1, dim}.output_dim();
  }
};

// The kernels are there for Element = float and Bfloat16; sums are in float, and
// rounded once. Bfloat16 elements are multiplied in pairs where `bfloat16_dots` says so
// and isa is kAvx512; subnormal elements then count as zero.

// Computes `num_samples` rows of output: dense [num_samples, dim], sparse
// [num_samples, num_sparse, dim], output [num_samples, output_dim()], all packed.
// Safe to call at once for disjoint samples; a sample's result does not depend on the
// others. Cost: O(num_vectors^2 * dim) a sample, and scratch for one sample's vectors.
template <typename Element>
void DotInteractionForward(const InteractionShape& shape, int64_t num_samples,
                           const Element* dense, const Element* sparse, Element* output,
                           Isa isa = BestIsa(), bool bfloat16_dots = HasBfloat16Dots());

// The same for user [num_user, dim] and items [num_samples, num_items, dim]: the bits
// that DotInteractionForward gives when the user's vectors are copied to every sample.
// Cost: O(num_items * num_vectors * dim) a sample; the user's own dots once a call.
template <typename Element>
void RequestInteractionForward(const RequestShape& shape, int64_t num_samples,
                               const Element* user, const Element* items,
                               Element* output, Isa isa = BestIsa(),
                               bool bfloat16_dots = HasBfloat16Dots());

// Computes the gradients of dense and sparse, in their shapes, from that of the output.
// Concurrency and cost as in DotInteractionForward.
template <typename Element>
void DotInteractionBackward(const InteractionShape& shape, int64_t num_samples,
                            const Element* output_grad, const Element* dense,
                            const Element* sparse, Element* dense_grad,
                            Element* sparse_grad, Isa isa = BestIsa());

}  // namespace stepwell::kernels

#endif  // CC_KERNELS_INTERACTION_INTERACTION_H_
