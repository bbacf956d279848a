#include <cstdint>

#include "cc/kernels/embedding/embedding.h"
#include "cc/kernels/embedding/embedding_shared.h"
#include "cc/kernels/simd/isa.h"
#include "cc/kernels/simd/vec.h"

#define STEPWELL_KERNEL_BODY "cc/kernels/embedding/embedding_backward_body.h"
#include "cc/kernels/simd/per_isa.h"

namespace stepwell::kernels {

template <typename Index>
EmbeddingFault EmbeddingBagBackward(const EmbeddingBags<Index>& bags, int64_t table,
                                    const float* output_grad, float* table_grad,
                                    Isa isa) {
  if (isa >= Isa::kAvx512) {
    return avx512::Backward(bags, table, output_grad, table_grad);
  }
  if (isa == Isa::kAvx2) return avx2::Backward(bags, table, output_grad, table_grad);
  return baseline::Backward(bags, table, output_grad, table_grad);
}

template <typename Index>
EmbeddingFault EmbeddingBagWeightsBackward(const EmbeddingBags<Index>& bags,
                                           int64_t first_bag, int64_t last_bag,
                                           const float* output_grad,
                                           float* weights_grad, Isa isa) {
  if (isa >= Isa::kAvx512) {
    return avx512::WeightsBackward(bags, first_bag, last_bag, output_grad,
                                   weights_grad);
  }
  if (isa == Isa::kAvx2) {
    return avx2::WeightsBackward(bags, first_bag, last_bag, output_grad, weights_grad);
  }
  return baseline::WeightsBackward(bags, first_bag, last_bag, output_grad,
                                   weights_grad);
}

#define STEPWELL_INSTANTIATE(Index)                                     \
  template EmbeddingFault EmbeddingBagBackward<Index>(                  \
      const EmbeddingBags<Index>&, int64_t, const float*, float*, Isa); \
  template EmbeddingFault EmbeddingBagWeightsBackward<Index>(           \
      const EmbeddingBags<Index>&, int64_t, int64_t, const float*, float*, Isa);
STEPWELL_INSTANTIATE(int32_t)
STEPWELL_INSTANTIATE(int64_t)
#undef STEPWELL_INSTANTIATE

}  // namespace stepwell::kernels
