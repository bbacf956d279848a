#ifndef CC_KERNELS_MLP_ACTIVATIONS_H_
#define CC_KERNELS_MLP_ACTIVATIONS_H_

#include <cstdint>

#include "cc/kernels/simd/isa.h"

namespace stepwell::kernels {

// Rows between two layers of an MLP whose matrices are int8. The value of column k of
// row b is values[b, k] * row_scales[b] + bias[k], and max(0, that) with relu.
struct ActivationRows {
  const void* values;  // [num_rows, width], packed
  bool is_bfloat16;    // float32 otherwise
  int64_t width;
  const float* row_scales;  // [num_rows], null: all ones
  const float* bias;        // [width], null: all zeros
  bool relu;
};

// The code of zero: signed rows take codes from 1 to 255, rows after ReLU all 256.
constexpr int64_t kSignedZeroPoint = 128;
inline int64_t ZeroPointOf(bool relu) { return relu ? 0 : kSignedZeroPoint; }

// Writes codes uint8 [num_rows, width] and code_scales [num_rows]:
// value ~ (code - ZeroPointOf(relu)) * scale, with the row's largest magnitude at 127
// steps (255 with relu). The last step is rounded to even. A row of zeros, or of less
// than 1e-30, has scale 0. A row with NaN or infinity has scale NaN and the codes of
// zero, so that what is computed from it is NaN and other rows are not touched.
// Safe to call at once for disjoint rows; a row's result does not depend on the others.
void QuantizeActivations(const ActivationRows& rows, int64_t num_rows, uint8_t* codes,
                         float* code_scales, Isa isa = BestIsa());

// Writes the rows' values as float32 or, to nearest even, bfloat16 [num_rows, width].
// Concurrency as above.
void FinishActivations(const ActivationRows& rows, int64_t num_rows, bool to_bfloat16,
                       void* output, Isa isa = BestIsa());

}  // namespace stepwell::kernels

#endif  // CC_KERNELS_MLP_ACTIVATIONS_H_
