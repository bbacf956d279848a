#include "cc/kernels/candidates/row_sums.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include "cc/kernels/simd/isa.h"

namespace stepwell::kernels {
namespace {

constexpr int64_t kNumVectors = 20;
// Of every way in which columns fill registers or do not.
constexpr int64_t kDims[] = {1, 3, 4, 15, 16, 17, 31, 64, 65, 100, 257};

std::vector<float> Normals(int64_t size, int seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<size_t>(size));
  for (float& value : values) value = normal(random);
  return values;
}

double Product(const float* a, const float* b, int64_t dim) {
  double sum = 0.0;
  for (int64_t i = 0; i < dim; ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

class EveryIsa : public testing::TestWithParam<Isa> {};

TEST_P(EveryIsa, PoolsWhatIsKnownAndNothingPastTheEnd) {
  const std::vector<int64_t> rows = {3, -1, 0, 19, 3, -1, 7, 8, 9, 10, 11, 12};
  const std::vector<float> weights = Normals(rows.size(), 1);
  for (const int64_t dim : kDims) {
    const std::vector<float> vectors = Normals(kNumVectors * dim, 2);
    std::vector<float> pooled(static_cast<size_t>(dim) + 1, 7.0f);
    PoolRows(vectors.data(), dim, rows.data(), weights.data(), rows.size(),
             pooled.data(), GetParam());
    for (int64_t column = 0; column < dim; ++column) {
      double want = 0.0;
      for (size_t i = 0; i < rows.size(); ++i) {
        if (rows[i] < 0) continue;
        want += static_cast<double>(weights[i]) * vectors[rows[i] * dim + column];
      }
      EXPECT_NEAR(pooled[column], want, 1e-5) << dim << " " << column;
    }
    EXPECT_EQ(pooled.back(), 7.0f);
  }
}

TEST_P(EveryIsa, MultipliesAllRowsOrSomeOfThemAlike) {
  const std::vector<int64_t> some = {19, 0, 5, 5, 1, 2, 3, 4, 6, 7, 8};
  for (const int64_t dim : kDims) {
    const std::vector<float> vectors = Normals(kNumVectors * dim, 3);
    const std::vector<float> vector = Normals(dim, 4);
    std::vector<float> all(kNumVectors), products(some.size());
    InnerProducts(vectors.data(), kNumVectors, dim, vector.data(), all.data(),
                  GetParam());
    InnerProductsOfRows(vectors.data(), dim, some.data(), some.size(), vector.data(),
                        products.data(), GetParam());
    for (int64_t row = 0; row < kNumVectors; ++row) {
      const double want = Product(vectors.data() + row * dim, vector.data(), dim);
      EXPECT_NEAR(all[row], want, 1e-4) << dim;
    }
    for (size_t i = 0; i < some.size(); ++i) EXPECT_EQ(products[i], all[some[i]]);
  }
}

TEST_P(EveryIsa, OfNothingIsNothing) {
  float pooled[5] = {1, 1, 1, 1, 1}, product = 1.0f;
  PoolRows(nullptr, 5, nullptr, nullptr, 0, pooled, GetParam());
  for (const float value : pooled) EXPECT_EQ(value, 0.0f);
  const float vector[1] = {2.0f};
  InnerProducts(vector, 1, 0, vector, &product, GetParam());
  EXPECT_EQ(product, 0.0f);
}

INSTANTIATE_TEST_SUITE_P(RowSums, EveryIsa, testing::ValuesIn(UsableIsas()));

}  // namespace
}  // namespace stepwell::kernels
