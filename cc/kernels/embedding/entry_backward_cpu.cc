#include <cstdint>

#include "cc/kernels/embedding/entry_backward.h"
#include "cc/kernels/simd/isa.h"
#include "cc/kernels/simd/vec.h"

#define STEPWELL_KERNEL_BODY "cc/kernels/embedding/entry_backward_body.h"
#include "cc/kernels/simd/per_isa.h"

namespace stepwell::kernels {

template <typename Index>
void EntryBackward(const EntryBags<Index>& bags, int64_t first_bag, int64_t last_bag,
                   float* entry_grads, Isa isa) {
  if (isa >= Isa::kAvx512) {
    return avx512::EntryBackward(bags, first_bag, last_bag, entry_grads);
  }
  if (isa == Isa::kAvx2) {
    return avx2::EntryBackward(bags, first_bag, last_bag, entry_grads);
  }
  baseline::EntryBackward(bags, first_bag, last_bag, entry_grads);
}

#define STEPWELL_INSTANTIATE(Index)                                             \
  template void EntryBackward<Index>(const EntryBags<Index>&, int64_t, int64_t, \
                                     float*, Isa);
STEPWELL_INSTANTIATE(int32_t)
STEPWELL_INSTANTIATE(int64_t)
#undef STEPWELL_INSTANTIATE

}  // namespace stepwell::kernels
