#include "cc/kernels/interaction/interaction.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <vector>

#include "cc/kernels/simd/isa.h"

namespace stepwell::kernels {
namespace {

std::vector<float> RandomFloats(int64_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> floats(count);
  for (float& x : floats) x = normal(random);
  return floats;
}

struct Samples {
  InteractionShape shape;
  int64_t count;
  std::vector<float> dense;
  std::vector<float> sparse;

  double At(int64_t sample, int64_t vector, int64_t d) const {
    if (vector == 0) return dense[sample * shape.dim + d];
    return sparse[(sample * shape.num_sparse + vector - 1) * shape.dim + d];
  }
};

Samples RandomSamples(int64_t num_sparse, int64_t dim, int64_t count) {
  return {{num_sparse, dim},
          count,
          RandomFloats(count * dim, 1),
          RandomFloats(count * num_sparse * dim, 2)};
}

// The definition, in float64 and one pair at a time.
std::vector<double> ReferenceForward(const Samples& samples) {
  std::vector<double> output;
  for (int64_t s = 0; s < samples.count; ++s) {
    for (int64_t d = 0; d < samples.shape.dim; ++d)
      output.push_back(samples.At(s, 0, d));
    for (int64_t i = 1; i < samples.shape.num_vectors(); ++i) {
      for (int64_t j = 0; j < i; ++j) {
        double dot = 0;
        for (int64_t d = 0; d < samples.shape.dim; ++d) {
          dot += samples.At(s, i, d) * samples.At(s, j, d);
        }
        output.push_back(dot);
      }
    }
  }
  return output;
}

// The gradient of one vector, by the definition of the derivative of a dot.
double ReferenceGrad(const Samples& samples, const std::vector<float>& grad, int64_t s,
                     int64_t vector, int64_t d) {
  const float* row = grad.data() + s * samples.shape.output_dim();
  double sum = vector == 0 ? row[d] : 0.0;
  int64_t pair = samples.shape.dim;
  for (int64_t i = 1; i < samples.shape.num_vectors(); ++i) {
    for (int64_t j = 0; j < i; ++j, ++pair) {
      if (i == vector) sum += row[pair] * samples.At(s, j, d);
      if (j == vector) sum += row[pair] * samples.At(s, i, d);
    }
  }
  return sum;
}

const int64_t kNumSparse[] = {0, 1, 2, 5, 6, 7, 8, 15, 16, 17, 26, 31, 32, 33, 50};
const int64_t kDims[] = {0, 1, 3, 4, 5, 16, 31, 64, 100};

TEST(InteractionTest, ForwardIsTheDefinitionAtEverySize) {
  for (int64_t num_sparse : kNumSparse) {
    for (int64_t dim : kDims) {
      const Samples samples = RandomSamples(num_sparse, dim, 3);
      const std::vector<double> expected = ReferenceForward(samples);
      for (Isa isa : UsableIsas()) {
        // One more float than is written: nothing may go past the end.
        std::vector<float> got(expected.size() + 1, 1e9f);
        DotInteractionForward(samples.shape, 3, samples.dense.data(),
                              samples.sparse.data(), got.data(), isa);
        for (size_t i = 0; i < expected.size(); ++i) {
          ASSERT_NEAR(got[i], expected[i], 1e-4)
              << "F " << num_sparse << " D " << dim << " element " << i;
        }
        ASSERT_EQ(got.back(), 1e9f) << "F " << num_sparse << " D " << dim;
      }
    }
  }
}

TEST(InteractionTest, BackwardIsTheDerivativeAtEverySize) {
  for (int64_t num_sparse : kNumSparse) {
    for (int64_t dim : {0, 1, 4, 31, 64, 100}) {
      const Samples samples = RandomSamples(num_sparse, dim, 2);
      const std::vector<float> grad = RandomFloats(2 * samples.shape.output_dim(), 3);
      for (Isa isa : UsableIsas()) {
        std::vector<float> dense(samples.dense.size(), 1e9f);
        std::vector<float> sparse(samples.sparse.size(), 1e9f);
        DotInteractionBackward(samples.shape, 2, grad.data(), samples.dense.data(),
                               samples.sparse.data(), dense.data(), sparse.data(), isa);
        const Samples got = {samples.shape, 2, dense, sparse};
        for (int64_t s = 0; s < 2; ++s) {
          for (int64_t v = 0; v < samples.shape.num_vectors(); ++v) {
            for (int64_t d = 0; d < dim; ++d) {
              ASSERT_NEAR(got.At(s, v, d), ReferenceGrad(samples, grad, s, v, d), 1e-4)
                  << "F " << num_sparse << " D " << dim << " vector " << v;
            }
          }
        }
      }
    }
  }
}

TEST(InteractionTest, NoSamplesWriteNothing) {
  DotInteractionForward<float>({3, 4}, 0, nullptr, nullptr, nullptr);
  RequestInteractionForward<float>({2, 3, 4}, 0, nullptr, nullptr, nullptr);
  DotInteractionBackward<float>({3, 4}, 0, nullptr, nullptr, nullptr, nullptr, nullptr);
}

TEST(InteractionTest, ASampleDoesNotDependOnItsNeighbours) {
  const Samples samples = RandomSamples(9, 20, 4);
  const int64_t width = samples.shape.output_dim();
  std::vector<float> together(4 * width);
  std::vector<float> alone(width);
  DotInteractionForward(samples.shape, 4, samples.dense.data(), samples.sparse.data(),
                        together.data());
  DotInteractionForward(samples.shape, 1, samples.dense.data() + 2 * 20,
                        samples.sparse.data() + 2 * 9 * 20, alone.data());
  EXPECT_EQ(
      std::vector<float>(together.begin() + 2 * width, together.begin() + 3 * width),
      alone);
}

}  // namespace
}  // namespace stepwell::kernels
