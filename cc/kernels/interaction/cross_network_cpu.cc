#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>

#include "cc/kernels/interaction/cross_network.h"
#include "cc/kernels/interaction/cross_network_shared.h"
#include "cc/kernels/simd/isa.h"
#include "cc/kernels/simd/vec.h"

namespace stepwell::kernels {
namespace {

// One layer's.
struct CrossWeights {
  const float* down;
  const float* up;
  const float* bias;
};

}  // namespace
}  // namespace stepwell::kernels

#define STEPWELL_KERNEL_BODY "cc/kernels/interaction/cross_network_body.h"
#include "cc/kernels/simd/per_isa.h"

namespace stepwell::kernels {
namespace {

using BlockFunction = void (*)(const CrossNetworkShape&, CrossWeights, int64_t,
                               const float*, float*, float*);

BlockFunction BlockFor(Isa isa) {
  switch (isa) {
    case Isa::kAvx512:
      return avx512::CrossBlock;
    case Isa::kAvx2:
      return avx2::CrossBlock;
    case Isa::kBaseline:
      break;
  }
  return baseline::CrossBlock;
}

}  // namespace

void CrossNetworkForward(const CrossNetworkShape& shape, int64_t num_samples,
                         const float* x, const float* down, const float* up,
                         const float* bias, float* output, Isa isa) {
  if (num_samples <= 0 || shape.width == 0) return;
  if (shape.num_layers == 0) {
    std::memcpy(output, x, static_cast<size_t>(num_samples * shape.width) * 4);
    return;
  }
  const int64_t block = std::min(BlockRows(shape), num_samples);
  const auto hidden = std::make_unique_for_overwrite<float[]>(block * shape.rank);
  const BlockFunction run = BlockFor(isa);
  for (int64_t first = 0; first < num_samples; first += block) {
    const int64_t rows = std::min(block, num_samples - first);
    const int64_t at = first * shape.width;
    run(shape, {down, up, bias}, rows, x + at, output + at, hidden.get());
  }
}

}  // namespace stepwell::kernels
