// The loops of VectorCodec, one table for each kind of code, metric and instruction
// set.
#ifndef STEPWELL_CC_INDEX_CODE_KERNELS_H_
#define STEPWELL_CC_INDEX_CODE_KERNELS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "cc/index/distance.h"
#include "cc/index/metric.h"

namespace stepwell::index {

// How the rows of one codec lie.
struct CodeShape {
  // Bytes of coordinates, a multiple of 16: those after the last coordinate stand for
  // coordinates of zero.
  size_t row_bytes = 0;
  // Where the squared norm of an int8 row lies under L2.
  size_t norm_at = 0;
  // What a row's int8 number is multiplied by.
  float step = 1;
};

// Stands before the coordinates of an int8 query; the coordinates are signed bytes,
// zeros up to a multiple of 64.
struct alignas(64) Int8QueryHead {
  float step;     // what its numbers are multiplied by
  int32_t bias;   // 128 times their sum: what the +128 of the rows adds to a product
  float sq_norm;  // of the query as coded
};

// One instruction set's way to compare codes. All three functions give the same bits
// for the same two vectors.
//
// Concurrency: pure functions.
struct CodeKernel {
  using GatherFn = void (*)(const CodeShape& shape, const char* query, RowBlock codes,
                            const uint32_t* nodes, size_t n, float* out);
  using ScanFn = void (*)(const CodeShape& shape, const char* query, RowBlock codes,
                          int64_t first, size_t n, float* out);
  using PairFn = float (*)(const CodeShape& shape, const char* a, const char* b);

  const char* name;
  GatherFn gather;
  ScanFn scan;
  PairFn pair;
};

// Every kernel that this processor can run, the scalar one first, the fastest last.
absl::Span<const CodeKernel> Float32Kernels(Metric metric);
absl::Span<const CodeKernel> Bfloat16Kernels(Metric metric);
absl::Span<const CodeKernel> Int8Kernels(Metric metric);

}  // namespace stepwell::index

#endif  // STEPWELL_CC_INDEX_CODE_KERNELS_H_
