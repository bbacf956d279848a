#include <cstdint>
#include <type_traits>

#include "cc/kernels/interaction/interaction.h"
#include "cc/kernels/interaction/interaction_shared.h"
#include "cc/kernels/interaction/interaction_vec.h"
#include "cc/kernels/simd/isa.h"
#include "cc/kernels/simd/vec.h"

#define STEPWELL_KERNEL_BODY "cc/kernels/interaction/interaction_forward_body.h"
#define STEPWELL_KERNEL_USES_BFLOAT16_DOTS
#include "cc/kernels/simd/per_isa.h"

namespace stepwell::kernels {
namespace {

template <typename Element>
void Forward(const SampleVectors<Element>& sample, int64_t num_samples, Element* output,
             Isa isa, bool bfloat16_dots) {
  if (num_samples <= 0) return;
  AlignedFloats columns(ColumnFloats(sample));
  if constexpr (std::is_same_v<Element, Bfloat16>) {
    if (isa == Isa::kAvx512 && bfloat16_dots) {
      return avx512_bfloat16::Forward(sample, num_samples, output, columns.data());
    }
  }
  switch (isa) {
    case Isa::kAvx512:
      return avx512::Forward(sample, num_samples, output, columns.data());
    case Isa::kAvx2:
      return avx2::Forward(sample, num_samples, output, columns.data());
    case Isa::kBaseline:
      break;
  }
  baseline::Forward(sample, num_samples, output, columns.data());
}

}  // namespace

template <typename Element>
void DotInteractionForward(const InteractionShape& shape, int64_t num_samples,
                           const Element* dense, const Element* sparse, Element* output,
                           Isa isa, bool bfloat16_dots) {
  Forward(DotSamples(shape, dense, sparse), num_samples, output, isa, bfloat16_dots);
}

template <typename Element>
void RequestInteractionForward(const RequestShape& shape, int64_t num_samples,
                               const Element* user, const Element* items,
                               Element* output, Isa isa, bool bfloat16_dots) {
  Forward(RequestSamples(shape, user, items), num_samples, output, isa, bfloat16_dots);
}

#define STEPWELL_INSTANTIATE(Element)                                              \
  template void DotInteractionForward<Element>(const InteractionShape&, int64_t,   \
                                               const Element*, const Element*,     \
                                               Element*, Isa, bool);               \
  template void RequestInteractionForward<Element>(const RequestShape&, int64_t,   \
                                                   const Element*, const Element*, \
                                                   Element*, Isa, bool);
STEPWELL_INSTANTIATE(float)
STEPWELL_INSTANTIATE(Bfloat16)
#undef STEPWELL_INSTANTIATE

}  // namespace stepwell::kernels
