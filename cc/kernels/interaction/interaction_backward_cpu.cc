#include <cstdint>

#include "cc/kernels/interaction/interaction.h"
#include "cc/kernels/interaction/interaction_shared.h"
#include "cc/kernels/interaction/interaction_vec.h"
#include "cc/kernels/simd/isa.h"
#include "cc/kernels/simd/vec.h"

#define STEPWELL_KERNEL_BODY "cc/kernels/interaction/interaction_backward_body.h"
#include "cc/kernels/simd/per_isa.h"

namespace stepwell::kernels {

template <typename Element>
void DotInteractionBackward(const InteractionShape& shape, int64_t num_samples,
                            const Element* output_grad, const Element* dense,
                            const Element* sparse, Element* dense_grad,
                            Element* sparse_grad, Isa isa) {
  if (num_samples <= 0) return;
  const int64_t stride = RoundUp(shape.num_vectors(), kMaxLanes);
  AlignedFloats matrix(stride * stride);
  const PairGradients pairs = {matrix.data(), shape.num_vectors(), stride};
  const SampleVectors<Element> sample = DotSamples(shape, dense, sparse);
  switch (isa) {
    case Isa::kAvx512:
      return avx512::Backward(sample, num_samples, output_grad, dense_grad, sparse_grad,
                              pairs);
    case Isa::kAvx2:
      return avx2::Backward(sample, num_samples, output_grad, dense_grad, sparse_grad,
                            pairs);
    case Isa::kBaseline:
      break;
  }
  baseline::Backward(sample, num_samples, output_grad, dense_grad, sparse_grad, pairs);
}

#define STEPWELL_INSTANTIATE(Element)                                   \
  template void DotInteractionBackward<Element>(                        \
      const InteractionShape&, int64_t, const Element*, const Element*, \
      const Element*, Element*, Element*, Isa);
STEPWELL_INSTANTIATE(float)
STEPWELL_INSTANTIATE(Bfloat16)
#undef STEPWELL_INSTANTIATE

}  // namespace stepwell::kernels
