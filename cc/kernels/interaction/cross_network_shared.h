#ifndef CC_KERNELS_INTERACTION_CROSS_NETWORK_SHARED_H_
#define CC_KERNELS_INTERACTION_CROSS_NETWORK_SHARED_H_

#include <algorithm>
#include <cstdint>

#include "cc/kernels/interaction/cross_network.h"

// Pieces of the CPU kernels that need no wide registers. Internal linkage: this header
// is for cross_network_cpu.cc and cross_network_backward_cpu.cc only.
namespace stepwell::kernels {
namespace {

// Samples that a tile works on together.
constexpr int64_t kTileRows = 6;
// Rows of `down` between two visits of a tile: 64 columns of them fit the L1 cache.
constexpr int64_t kDepthBlock = 128;
// Floats of x and x_l of a block of samples; they and a layer's weights share the L2.
constexpr int64_t kBlockFloats = 1 << 17;

inline int64_t BlockRows(const CrossNetworkShape& shape) {
  const int64_t floats = 2 * shape.width + shape.rank;
  const int64_t rows = kBlockFloats / floats / kTileRows * kTileRows;
  return std::max(rows, 2 * kTileRows);
}

}  // namespace
}  // namespace stepwell::kernels

#endif  // CC_KERNELS_INTERACTION_CROSS_NETWORK_SHARED_H_
