#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "cc/kernels/mlp/activations.h"
#include "cc/kernels/mlp/code_vec.h"
#include "cc/kernels/simd/isa.h"
#include "cc/kernels/simd/vec.h"

namespace stepwell::kernels {
namespace {

// Its inverse and 255 times its inverse are still finite.
constexpr float kSmallestActivation = 1e-30f;

// One row's values and the bias, both with room for a whole register past the end.
struct ActivationScratch {
  float* row;
  const float* bias;
};

}  // namespace
}  // namespace stepwell::kernels

#define STEPWELL_KERNEL_BODY "cc/kernels/mlp/activations_body.h"
#include "cc/kernels/simd/per_isa.h"

namespace stepwell::kernels {
namespace {

class ScratchMemory {
 public:
  explicit ScratchMemory(const ActivationRows& rows)
      : padded_((rows.width + 15) / 16 * 16), floats_(2 * padded_, 0.0f) {
    if (rows.bias == nullptr) return;
    std::memcpy(floats_.data() + padded_, rows.bias,
                static_cast<size_t>(rows.width) * sizeof(float));
  }

  ActivationScratch get() { return {floats_.data(), floats_.data() + padded_}; }

 private:
  int64_t padded_;
  std::vector<float> floats_;
};

}  // namespace

void QuantizeActivations(const ActivationRows& rows, int64_t num_rows, uint8_t* codes,
                         float* code_scales, Isa isa) {
  if (num_rows <= 0) return;
  ScratchMemory memory(rows);
  const ActivationScratch scratch = memory.get();
  switch (isa) {
    case Isa::kAvx512:
      return avx512::Quantize(rows, num_rows, scratch, codes, code_scales);
    case Isa::kAvx2:
      return avx2::Quantize(rows, num_rows, scratch, codes, code_scales);
    case Isa::kBaseline:
      break;
  }
  baseline::Quantize(rows, num_rows, scratch, codes, code_scales);
}

void FinishActivations(const ActivationRows& rows, int64_t num_rows, bool to_bfloat16,
                       void* output, Isa isa) {
  if (num_rows <= 0) return;
  ScratchMemory memory(rows);
  const ActivationScratch scratch = memory.get();
  switch (isa) {
    case Isa::kAvx512:
      return avx512::Finish(rows, num_rows, scratch, to_bfloat16, output);
    case Isa::kAvx2:
      return avx2::Finish(rows, num_rows, scratch, to_bfloat16, output);
    case Isa::kBaseline:
      break;
  }
  baseline::Finish(rows, num_rows, scratch, to_bfloat16, output);
}

}  // namespace stepwell::kernels
