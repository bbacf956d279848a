// Distances between float32 vectors, by the widest instructions of this
// processor.
#ifndef STEPWELL_CC_INDEX_DISTANCE_H_
#define STEPWELL_CC_INDEX_DISTANCE_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "cc/index/metric.h"

namespace stepwell::index {

// Rows at a fixed stride: row i starts `i * stride_bytes` after `base`.
struct RowBlock {
  const char* base;
  size_t stride_bytes;
};

// One processor family's way to compute one metric. Smaller is nearer: -q.x for
// inner product and for cosine (on unit vectors), |q - x|^2 for L2.
//
// Concurrency: pure functions. Cost of one distance: D / 16 multiply-adds with
// AVX-512, D / 8 with AVX2; a row that is not in cache costs more than that.
struct DistanceKernel {
  // out[i] = distance of `query` to row `rows[i]`, for n rows.
  using GatherFn = void (*)(const float* query, size_t dim, RowBlock block,
                            const uint32_t* rows, size_t n, float* out);

  const char* name;
  GatherFn gather;
};

// The fastest kernel of this processor: "avx512", "avx2" or "scalar".
const DistanceKernel& BestDistanceKernel(Metric metric);

// Every kernel that this processor can run, the scalar one first, for tests.
std::vector<DistanceKernel> RunnableDistanceKernels(Metric metric);

// Higher-is-better score of a distance: its negation.
inline float ScoreOfDistance(float distance) { return -distance; }

}  // namespace stepwell::index

#endif  // STEPWELL_CC_INDEX_DISTANCE_H_
