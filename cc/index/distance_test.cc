#include "cc/index/distance.h"

#include <cstring>
#include <random>

#include "gtest/gtest.h"

namespace stepwell::index {
namespace {

std::vector<float> RandomFloats(size_t n, uint32_t seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(n);
  for (float& value : values) value = normal(generator);
  return values;
}

double PlainDistance(Metric metric, const float* a, const float* b, size_t dim) {
  double sum = 0;
  for (size_t i = 0; i < dim; ++i) {
    const double x = a[i], y = b[i];
    sum += metric == Metric::kL2 ? (x - y) * (x - y) : -x * y;
  }
  return sum;
}

// The distance of one row, gathered alone.
float Pair(const DistanceKernel& kernel, const float* query, const void* row,
           size_t dim) {
  const uint32_t first = 0;
  float distance;
  kernel.gather(query, dim, {static_cast<const char*>(row), 0}, &first, 1, &distance);
  return distance;
}

class DistanceTest : public testing::TestWithParam<Metric> {};

TEST_P(DistanceTest, EveryKernelMatchesDoublePrecisionAtEveryLength) {
  const std::vector<float> a = RandomFloats(300, 1), b = RandomFloats(300, 2);
  for (const DistanceKernel& kernel : RunnableDistanceKernels(GetParam())) {
    for (size_t dim = 0; dim <= 290; ++dim) {
      // An odd start: rows of the graph are not aligned.
      const float *left = a.data() + 1, *right = b.data() + 3;
      EXPECT_NEAR(Pair(kernel, left, right, dim),
                  PlainDistance(GetParam(), left, right, dim),
                  1e-5 * (1.0 + static_cast<double>(dim)))
          << kernel.name << " dim " << dim;
    }
  }
}

TEST_P(DistanceTest, GatherGivesExactlyThePairDistances) {
  constexpr size_t kDim = 37, kRows = 50, kStride = kDim * sizeof(float) + 12;
  std::vector<char> block(kRows * kStride);
  const std::vector<float> values = RandomFloats(kDim * kRows, 3);
  for (size_t row = 0; row < kRows; ++row) {
    std::memcpy(&block[row * kStride], &values[row * kDim], kDim * sizeof(float));
  }
  const std::vector<float> query = RandomFloats(kDim, 4);
  std::vector<uint32_t> rows = {49, 0, 7, 7, 3, 21, 48, 1, 2};
  std::vector<float> distances(rows.size());
  for (const DistanceKernel& kernel : RunnableDistanceKernels(GetParam())) {
    kernel.gather(query.data(), kDim, {block.data(), kStride}, rows.data(), rows.size(),
                  distances.data());
    for (size_t i = 0; i < rows.size(); ++i) {
      EXPECT_EQ(distances[i],
                Pair(kernel, query.data(), &block[rows[i] * kStride], kDim))
          << kernel.name;
    }
  }
}

TEST_P(DistanceTest, BestKernelIsTheLastRunnableOne) {
  EXPECT_STREQ(BestDistanceKernel(GetParam()).name,
               RunnableDistanceKernels(GetParam()).back().name);
}

INSTANTIATE_TEST_SUITE_P(Metrics, DistanceTest,
                         testing::Values(Metric::kInnerProduct, Metric::kL2));

TEST(MetricTest, NamesAndNumbersGoThereAndBack) {
  for (Metric metric : {Metric::kInnerProduct, Metric::kCosine, Metric::kL2}) {
    EXPECT_EQ(*MetricFromName(MetricName(metric)), metric);
    EXPECT_EQ(*MetricFromNumber(static_cast<uint32_t>(metric)), metric);
  }
  EXPECT_EQ(MetricFromName("hamming").status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(MetricFromNumber(0).ok());
}

}  // namespace
}  // namespace stepwell::index
