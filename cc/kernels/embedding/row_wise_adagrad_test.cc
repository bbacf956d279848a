#include "cc/kernels/embedding/row_wise_adagrad.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "cc/kernels/simd/isa.h"

namespace stepwell::kernels {
namespace {

constexpr float kLr = 0.1f;
constexpr float kEps = 1e-3f;

struct Training {
  int64_t num_rows;
  int64_t dim;
  std::vector<float> rows;
  std::vector<float> moments;
  std::vector<float> grads;
  std::vector<RowEntry> entries;

  Training(int64_t num_rows, int64_t dim, int64_t num_entries)
      : num_rows(num_rows), dim(dim) {
    std::mt19937 random(5);
    std::normal_distribution<float> normal;
    for (int64_t i = 0; i < num_rows * dim; ++i) rows.push_back(normal(random));
    for (int64_t i = 0; i < num_rows; ++i) moments.push_back(std::abs(normal(random)));
    for (int64_t i = 0; i < num_entries * dim; ++i) grads.push_back(normal(random));
    for (int64_t position = 0; position < num_entries; ++position) {
      entries.push_back({static_cast<int64_t>(random() % num_rows), position});
    }
    SortByRow(entries);
  }

  void Step(int64_t first, int64_t last, Isa isa) {
    std::vector<float> scratch(dim);
    const AdagradTable table = {rows.data(), moments.data(), grads.data(), dim, kLr,
                                kEps};
    RowWiseAdagrad(table, entries, first, last, scratch.data(), isa);
  }
};

// The definition, in float64 and row by row.
void ReferenceStep(const Training& training, std::vector<double>& rows,
                   std::vector<double>& moments) {
  const int64_t dim = training.dim;
  for (int64_t row = 0; row < training.num_rows; ++row) {
    std::vector<double> sum(dim, 0.0);
    for (const RowEntry& entry : training.entries) {
      if (entry.row != row) continue;
      for (int64_t d = 0; d < dim; ++d) {
        sum[d] += training.grads[entry.position * dim + d];
      }
    }
    double squares = 0.0;
    for (double g : sum) squares += g * g;
    moments[row] += squares / static_cast<double>(dim);
    for (int64_t d = 0; d < dim; ++d) {
      rows[row * dim + d] -= kLr / (std::sqrt(moments[row]) + kEps) * sum[d];
    }
  }
}

TEST(RowWiseAdagradTest, StepsAsTheDefinitionSays) {
  for (int64_t num_entries : {0, 1, 2, 19, 200}) {
    for (int64_t dim : {1, 3, 8, 16, 17, 64, 130}) {
      for (Isa isa : UsableIsas()) {
        Training training(30, dim, num_entries);
        std::vector<double> rows(training.rows.begin(), training.rows.end());
        std::vector<double> moments(training.moments.begin(), training.moments.end());
        ReferenceStep(training, rows, moments);
        training.Step(0, num_entries, isa);
        for (size_t i = 0; i < rows.size(); ++i) {
          ASSERT_NEAR(training.rows[i], rows[i], 1e-5) << "element " << i;
        }
        for (size_t i = 0; i < moments.size(); ++i) {
          ASSERT_NEAR(training.moments[i], moments[i], 1e-4) << "row " << i;
        }
      }
    }
  }
}

TEST(RowWiseAdagradTest, SplittingTheEntriesChangesNoBit) {
  for (Isa isa : UsableIsas()) {
    Training whole(9, 20, 100);
    Training parts(9, 20, 100);
    whole.Step(0, 100, isa);
    for (int64_t first = 0; first < 100; first += 3) {
      parts.Step(first, std::min<int64_t>(first + 3, 100), isa);
    }
    EXPECT_EQ(whole.rows, parts.rows);
    EXPECT_EQ(whole.moments, parts.moments);
  }
}

TEST(RowWiseAdagradTest, SortsByRowAndKeepsTheOrderOfPositions) {
  std::mt19937_64 random(3);
  for (int bits : {1, 11, 12, 33, 62}) {
    std::vector<RowEntry> entries;
    for (int64_t position = 0; position < 5000; ++position) {
      const uint64_t row = random() & ((uint64_t{1} << bits) - 1);
      entries.push_back({static_cast<int64_t>(row), position});
    }
    std::vector<RowEntry> expected = entries;
    std::stable_sort(
        expected.begin(), expected.end(),
        [](const RowEntry& a, const RowEntry& b) { return a.row < b.row; });
    SortByRow(entries);
    for (size_t i = 0; i < entries.size(); ++i) {
      ASSERT_EQ(entries[i].row, expected[i].row);
      ASSERT_EQ(entries[i].position, expected[i].position);
    }
  }
}

}  // namespace
}  // namespace stepwell::kernels
