#include <cstdint>
#include <cstring>

#include "cc/kernels/interaction/interaction.h"
#include "cc/kernels/interaction/interaction_shared.h"
#include "cc/kernels/simd/isa.h"
#include "cc/kernels/simd/vec.h"

#define STEPWELL_KERNEL_BODY "cc/kernels/interaction/interaction_body.h"
#include "cc/kernels/simd/per_isa.h"

namespace stepwell::kernels {

void DotInteractionForward(const InteractionShape& shape, int64_t num_samples,
                           const float* dense, const float* sparse, float* output,
                           Isa isa) {
  if (num_samples <= 0) return;
  TransposedVectors vectors(shape);
  switch (isa) {
    case Isa::kAvx512:
      return avx512::Forward(shape, num_samples, dense, sparse, output, vectors);
    case Isa::kAvx2:
      return avx2::Forward(shape, num_samples, dense, sparse, output, vectors);
    case Isa::kBaseline:
      break;
  }
  baseline::Forward(shape, num_samples, dense, sparse, output, vectors);
}

void DotInteractionBackward(const InteractionShape& shape, int64_t num_samples,
                            const float* output_grad, const float* dense,
                            const float* sparse, float* dense_grad, float* sparse_grad,
                            Isa isa) {
  if (num_samples <= 0) return;
  PairGradients pairs(shape);
  switch (isa) {
    case Isa::kAvx512:
      return avx512::Backward(shape, num_samples, output_grad, dense, sparse,
                              dense_grad, sparse_grad, pairs);
    case Isa::kAvx2:
      return avx2::Backward(shape, num_samples, output_grad, dense, sparse, dense_grad,
                            sparse_grad, pairs);
    case Isa::kBaseline:
      break;
  }
  baseline::Backward(shape, num_samples, output_grad, dense, sparse, dense_grad,
                     sparse_grad, pairs);
}

}  // namespace stepwell::kernels
