#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>

#include "cc/kernels/interaction/cross_network_backward.h"
#include "cc/kernels/interaction/cross_network_shared.h"
#include "cc/kernels/simd/isa.h"
#include "cc/kernels/simd/vec.h"

#define STEPWELL_KERNEL_BODY "cc/kernels/interaction/cross_network_backward_body.h"
#include "cc/kernels/simd/per_isa.h"

namespace stepwell::kernels {
namespace {

void SampleBlock(const CrossNetworkBackward& pass, int64_t first, int64_t num_rows,
                 float* crossed, float* through_x, Isa isa) {
  switch (isa) {
    case Isa::kAvx512:
      return avx512::BackwardSamples(pass, first, num_rows, crossed, through_x);
    case Isa::kAvx2:
      return avx2::BackwardSamples(pass, first, num_rows, crossed, through_x);
    case Isa::kBaseline:
      break;
  }
  baseline::BackwardSamples(pass, first, num_rows, crossed, through_x);
}

void ZeroColumns(float* rows, int64_t num_rows, int64_t width, int64_t num_columns) {
  for (int64_t row = 0; row < num_rows; ++row) {
    std::fill_n(rows + row * width, num_columns, 0.0f);
  }
}

}  // namespace

void CrossNetworkBackwardSamples(const CrossNetworkBackward& pass, int64_t first,
                                 int64_t last, Isa isa) {
  const auto [num_layers, width, rank] = pass.shape;
  if (first >= last || width == 0) return;
  std::copy(pass.grad + first * width, pass.grad + last * width,
            pass.x_grad + first * width);
  const int64_t block = std::min(BlockRows(pass.shape), last - first);
  const int64_t size = block * width;
  const auto crossed = std::make_unique_for_overwrite<float[]>(num_layers * size);
  const auto through_x = std::make_unique_for_overwrite<float[]>(size);
  for (int64_t at = first; at < last; at += block) {
    std::fill_n(through_x.get(), size, 0.0f);
    SampleBlock(pass, at, std::min(block, last - at), crossed.get(), through_x.get(),
                isa);
  }
}

void CrossNetworkBackwardWeights(const CrossNetworkBackward& pass, int64_t layer,
                                 int64_t first, int64_t last, Isa isa) {
  const auto [num_layers, width, rank] = pass.shape;
  const int64_t num_columns = last - first;
  const int64_t matrix = layer * rank * width + first;
  std::fill_n(pass.bias_grad + layer * width + first, num_columns, 0.0f);
  if (pass.batch == 0) {
    ZeroColumns(pass.up_grad + matrix, rank, width, num_columns);
    ZeroColumns(pass.down_grad_transposed + matrix, rank, width, num_columns);
    return;
  }
  switch (isa) {
    case Isa::kAvx512:
      return avx512::BackwardWeights(pass, layer, first, num_columns);
    case Isa::kAvx2:
      return avx2::BackwardWeights(pass, layer, first, num_columns);
    case Isa::kBaseline:
      break;
  }
  baseline::BackwardWeights(pass, layer, first, num_columns);
}

}  // namespace stepwell::kernels
