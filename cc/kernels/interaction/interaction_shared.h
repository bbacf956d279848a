#ifndef CC_KERNELS_INTERACTION_INTERACTION_SHARED_H_
#define CC_KERNELS_INTERACTION_INTERACTION_SHARED_H_

#include <xmmintrin.h>

#include <cstdint>
#include <cstring>
#include <vector>

#include "cc/kernels/interaction/interaction.h"

// Pieces of the CPU kernels that need no wide registers. Internal linkage: this header
// is for interaction_cpu.cc only.
namespace stepwell::kernels {
namespace {

// Rows of vectors that one step of the forward kernel works on.
constexpr int64_t kRowBlock = 6;

// One sample's vectors as columns: element [d * stride + i] is component d of vector i.
// The stride leaves room for whole registers and a whole row block past the last
// vector; that room holds zeros.
class TransposedVectors {
 public:
  explicit TransposedVectors(const InteractionShape& shape)
      : shape_(shape),
        stride_((shape.num_vectors() + kRowBlock + 15) / 16 * 16),
        columns_(static_cast<size_t>(stride_ * shape.dim), 0.0f) {}

  const float* data() const { return columns_.data(); }
  int64_t stride() const { return stride_; }

  void Fill(const float* dense, const float* sparse) {
    FillVector(dense, 0);
    int64_t vector = 1;
    for (; vector + 4 <= shape_.num_vectors(); vector += 4) {
      FillFour(sparse + (vector - 1) * shape_.dim, vector);
    }
    for (; vector < shape_.num_vectors(); ++vector) {
      FillVector(sparse + (vector - 1) * shape_.dim, vector);
    }
  }

 private:
  void FillVector(const float* source, int64_t vector, int64_t from = 0) {
    for (int64_t d = from; d < shape_.dim; ++d) {
      columns_[d * stride_ + vector] = source[d];
    }
  }

  // Four vectors that lie one after the other, 4 x 4 components at a time.
  void FillFour(const float* source, int64_t vector) {
    const int64_t dim = shape_.dim;
    int64_t d = 0;
    for (; d + 4 <= dim; d += 4) {
      __m128 a = _mm_loadu_ps(source + d);
      __m128 b = _mm_loadu_ps(source + dim + d);
      __m128 c = _mm_loadu_ps(source + 2 * dim + d);
      __m128 e = _mm_loadu_ps(source + 3 * dim + d);
      _MM_TRANSPOSE4_PS(a, b, c, e);
      float* target = columns_.data() + d * stride_ + vector;
      _mm_storeu_ps(target, a);
      _mm_storeu_ps(target + stride_, b);
      _mm_storeu_ps(target + 2 * stride_, c);
      _mm_storeu_ps(target + 3 * stride_, e);
    }
    for (int64_t k = 0; k < 4; ++k) FillVector(source + k * dim, vector + k, d);
  }

  InteractionShape shape_;
  int64_t stride_;
  std::vector<float> columns_;
};

// The gradients of one sample's dots as a full symmetric matrix with a zero diagonal,
// [num_vectors, num_vectors].
class PairGradients {
 public:
  explicit PairGradients(const InteractionShape& shape)
      : size_(shape.num_vectors()), matrix_(static_cast<size_t>(size_ * size_), 0.0f) {}

  const float* row(int64_t i) const { return matrix_.data() + i * size_; }

  void Fill(const float* packed_pairs) {
    for (int64_t i = 1; i < size_; ++i) {
      for (int64_t j = 0; j < i; ++j) {
        const float grad = *packed_pairs++;
        matrix_[i * size_ + j] = grad;
        matrix_[j * size_ + i] = grad;
      }
    }
  }

 private:
  int64_t size_;
  std::vector<float> matrix_;
};

}  // namespace
}  // namespace stepwell::kernels

#endif  // CC_KERNELS_INTERACTION_INTERACTION_SHARED_H_
