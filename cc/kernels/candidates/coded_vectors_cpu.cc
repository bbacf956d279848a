#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "cc/kernels/candidates/coded_vectors.h"
#include "cc/kernels/simd/isa.h"
#include "cc/kernels/simd/vec.h"

#define STEPWELL_KERNEL_BODY "cc/kernels/candidates/coded_vectors_body.h"
#include "cc/kernels/simd/per_isa.h"

namespace stepwell::kernels {
namespace {

constexpr int64_t kWidestRegister = 16;
constexpr float kLargestCode = 127.0f;
constexpr float kMiddle = 128.0f;
constexpr float kSlack = 1.02f;

void SumCodes(const uint8_t* codes, int64_t count, int64_t stride,
              const float* coordinates, float* sums, Isa isa) {
  switch (isa) {
    case Isa::kAvx512:
      return avx512::CodeSums(codes, count, stride, coordinates, sums);
    case Isa::kAvx2:
      return avx2::CodeSums(codes, count, stride, coordinates, sums);
    case Isa::kBaseline:
      break;
  }
  baseline::CodeSums(codes, count, stride, coordinates, sums);
}

}  // namespace

CodedVectors::CodedVectors(const float* vectors, int64_t num_vectors, int64_t dim)
    : dim_(dim),
      stride_((dim + kWidestRegister - 1) / kWidestRegister * kWidestRegister) {
  codes_.resize(static_cast<size_t>(num_vectors * stride_));
  steps_.resize(static_cast<size_t>(num_vectors));
  for (int64_t row = 0; row < num_vectors; ++row) {
    const float* vector = vectors + row * dim;
    float largest = 0.0f;
    for (int64_t i = 0; i < dim; ++i) {
      is_usable_ = is_usable_ && std::isfinite(vector[i]);
      largest = std::max(largest, std::abs(vector[i]));
    }
    if (!is_usable_) return;
    // A normal number, so that errors do not vanish either.
    const float step =
        std::max(largest / kLargestCode, std::numeric_limits<float>::min());
    steps_[static_cast<size_t>(row)] = step;
    uint8_t* codes = codes_.data() + row * stride_;
    for (int64_t i = 0; i < dim; ++i) {
      const float code =
          std::clamp(std::round(vector[i] / step), -kLargestCode, kLargestCode);
      codes[i] = static_cast<uint8_t>(code + kMiddle);
    }
  }
}

void CodedVectors::SetQuery(const float* vector, Query& query) const {
  query.coordinates.assign(static_cast<size_t>(stride_), 0.0f);
  std::copy(vector, vector + dim_, query.coordinates.begin());
  double sum = 0.0, magnitude = 0.0;
  for (int64_t i = 0; i < dim_; ++i) {
    sum += vector[i];
    magnitude += std::abs(vector[i]);
  }
  query.offset = static_cast<float>(kMiddle * sum);
  query.reach = static_cast<float>(0.5 * kSlack * magnitude);
}

void CodedVectors::Products(const Query& query, int64_t first, int64_t count,
                            float* products, float* errors, Isa isa) const {
  SumCodes(codes_.data() + first * stride_, count, stride_, query.coordinates.data(),
           products, isa);
  const float* steps = steps_.data() + first;
  for (int64_t i = 0; i < count; ++i) {
    products[i] = steps[i] * (products[i] - query.offset);
    errors[i] = steps[i] * query.reach;
  }
}

}  // namespace stepwell::kernels
