#ifndef CC_KERNELS_EMBEDDING_QUANTIZE_H_
#define CC_KERNELS_EMBEDDING_QUANTIZE_H_

#include <cstdint>

#include "cc/kernels/embedding/row_format.h"

namespace stepwell::kernels {

// A quantised row whose values span more is refused: scale * code could overflow.
constexpr double kMaxRowSpan = 0x1p127;

// The first value that a row cannot hold; row -1 when there is none.
struct QuantizeFault {
  int64_t row = -1;
  int64_t column = 0;
  float value = 0.0f;

  bool ok() const { return row < 0; }
};

// Writes `values` [num_rows, dim] as rows of `format`, RowBytes(format, dim) each, at
// any alignment. Returns the first value that is not finite, or not once it is rounded
// to the format, or, the largest of its row, is more than kMaxRowSpan above the
// smallest where the format is quantised; rows from there on are unspecified.
// 1 <= dim <= kMaxRowDim.
//
// A quantised row has L = 255 (int8) or 15 (int4) steps between its smallest value and
// its largest:
//
//   bias  = min
//   scale = float32((float64(max) - float64(min)) / L)
//   code  = nearest integer, ties to even, of (float64(x) - float64(bias)) / scale,
//           at most L; 0 in a row whose scale is 0
//
// Safe at once for disjoint rows. Cost: two reads of the values.
QuantizeFault QuantizeRows(const float* values, int64_t num_rows, int64_t dim,
                           RowFormat format, uint8_t* rows);

// Writes rows of `format` as float32 `values` [num_rows, dim]; a code stands for
// float32(scale * code) + bias, rounded once more. Concurrency as above.
void DequantizeRows(const uint8_t* rows, int64_t num_rows, int64_t dim,
                    RowFormat format, float* values);

}  // namespace stepwell::kernels

#endif  // CC_KERNELS_EMBEDDING_QUANTIZE_H_
