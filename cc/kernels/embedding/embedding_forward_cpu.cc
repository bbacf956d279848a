#include <cstdint>

#include "cc/kernels/embedding/embedding.h"
#include "cc/kernels/embedding/embedding_shared.h"
#include "cc/kernels/simd/isa.h"
#include "cc/kernels/simd/vec.h"

#define STEPWELL_KERNEL_BODY "cc/kernels/embedding/embedding_forward_body.h"
#include "cc/kernels/simd/per_isa.h"

namespace stepwell::kernels {

template <typename Index>
EmbeddingFault EmbeddingBagForward(const EmbeddingBags<Index>& bags, int64_t first_bag,
                                   int64_t last_bag, void* output, Isa isa) {
  if (first_bag >= last_bag) return {};
  if (isa >= Isa::kAvx512) return avx512::Forward(bags, first_bag, last_bag, output);
  if (isa == Isa::kAvx2) return avx2::Forward(bags, first_bag, last_bag, output);
  return baseline::Forward(bags, first_bag, last_bag, output);
}

template EmbeddingFault EmbeddingBagForward<int32_t>(const EmbeddingBags<int32_t>&,
                                                     int64_t, int64_t, void*, Isa);
template EmbeddingFault EmbeddingBagForward<int64_t>(const EmbeddingBags<int64_t>&,
                                                     int64_t, int64_t, void*, Isa);

}  // namespace stepwell::kernels
