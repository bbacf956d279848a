#include "cc/kernels/ranker/small_ranker.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "cc/kernels/simd/isa.h"

namespace stepwell::kernels {
namespace {

constexpr int64_t kDense = 5, kSparse = 3, kCandidates = 9;

std::vector<float> Normals(int64_t size, int seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<size_t>(size));
  for (float& value : values) value = normal(random);
  return values;
}

// A ranker of these layer widths, with all that it borrows.
struct Model {
  std::vector<std::vector<float>> arrays;
  SmallRanker ranker;

  explicit Model(const std::vector<int64_t>& widths) {
    ranker.clip = 2.0f;
    ranker.columns = {{4, true, 0.5f, 0.7f}, {0, false, 0.1f, 2.0f}};
    arrays.reserve(1 + 2 * widths.size());
    ranker.tables = {{2, Add(7 * 3), 7, 3}};
    int64_t inputs = ranker.num_inputs();
    for (const int64_t width : widths) {
      const float* weight = Add(inputs * width);
      ranker.layers.push_back({weight, Add(width), inputs, width});
      inputs = width;
    }
  }

  const float* Add(int64_t size) {
    arrays.push_back(Normals(size, static_cast<int>(arrays.size())));
    return arrays.back().data();
  }
};

std::vector<double> InputsOf(const SmallRanker& ranker, const float* dense,
                             const int64_t* sparse) {
  std::vector<double> row;
  for (const SmallRanker::Column& column : ranker.columns) {
    double value = dense[column.place];
    if (!std::isfinite(value)) {
      row.push_back(0.0);
      continue;
    }
    if (column.is_log) value = std::log1p(std::max(value, 0.0));
    value = (value - column.mean) * column.inverse_scale;
    row.push_back(std::clamp<double>(value, -ranker.clip, ranker.clip));
  }
  for (const SmallRanker::Table& table : ranker.tables) {
    const float* found = table.rows + sparse[table.place] * table.dim;
    row.insert(row.end(), found, found + table.dim);
  }
  return row;
}

std::vector<double> Expected(const SmallRanker& ranker, const float* dense,
                             const int64_t* sparse) {
  std::vector<double> row = InputsOf(ranker, dense, sparse);
  for (const SmallRanker::Layer& layer : ranker.layers) {
    std::vector<double> next(layer.bias, layer.bias + layer.num_outputs);
    for (int64_t k = 0; k < layer.num_inputs; ++k) {
      for (int64_t o = 0; o < layer.num_outputs; ++o) {
        next[o] += row[k] * layer.weight[k * layer.num_outputs + o];
      }
    }
    if (&layer != &ranker.layers.back()) {
      for (double& value : next) value = std::max(value, 0.0);
    }
    row = next;
  }
  return row;
}

class EveryIsa : public testing::TestWithParam<Isa> {};

TEST_P(EveryIsa, GivesWhatItsDefinitionGivesAtEveryWidth) {
  // Of every way in which outputs fill registers or do not, read from either row.
  for (const std::vector<int64_t>& widths :
       std::vector<std::vector<int64_t>>{{1}, {16, 2}, {17, 33, 1}, {48, 24, 3}}) {
    const Model model(widths);
    std::vector<float> dense = Normals(kCandidates * kDense, 50);
    dense[kDense] = std::numeric_limits<float>::quiet_NaN();
    dense[2 * kDense + 4] = std::numeric_limits<float>::infinity();
    dense[3 * kDense + 4] = 1e30f;
    std::vector<int64_t> sparse(kCandidates * kSparse, 100);
    for (int64_t i = 0; i < kCandidates; ++i) sparse[i * kSparse + 2] = i % 7;
    const int64_t num_outputs = model.ranker.num_outputs();
    std::vector<float> logits(static_cast<size_t>(kCandidates * num_outputs) + 1, 7.0f);
    ScoreSmall(model.ranker,
               {dense.data(), kDense, sparse.data(), kSparse, kCandidates},
               logits.data(), GetParam());
    for (int64_t i = 0; i < kCandidates; ++i) {
      const std::vector<double> want =
          Expected(model.ranker, &dense[i * kDense], &sparse[i * kSparse]);
      for (int64_t o = 0; o < num_outputs; ++o) {
        EXPECT_NEAR(logits[i * num_outputs + o], want[o],
                    1e-4 * (1.0 + std::fabs(want[o])))
            << widths.size() << " " << i << " " << o;
      }
    }
    EXPECT_EQ(logits.back(), 7.0f);
  }
}

TEST_P(EveryIsa, KeepsNoNumberOfABrokenWeight) {
  Model model({4, 1});
  model.arrays[2][1] = std::numeric_limits<float>::quiet_NaN();  // a bias of the first
  const std::vector<float> dense(kDense, 1.0f);
  const std::vector<int64_t> sparse(kSparse, 0);
  float logit = 0.0f;
  ScoreSmall(model.ranker, {dense.data(), kDense, sparse.data(), kSparse, 1}, &logit,
             GetParam());
  EXPECT_TRUE(std::isnan(logit));
}

INSTANTIATE_TEST_SUITE_P(SmallRanker, EveryIsa, testing::ValuesIn(UsableIsas()));

}  // namespace
}  // namespace stepwell::kernels
