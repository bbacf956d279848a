#include "cc/kernels/candidates/co_occurrence.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "cc/kernels/candidates/coded_vectors.h"
#include "cc/kernels/candidates/row_sums.h"
#include "cc/kernels/simd/isa.h"

namespace stepwell::kernels {
namespace {

constexpr int64_t kNumItems = 3000;
constexpr int64_t kNeighbours = 6;

std::vector<float> Normals(int64_t size, int seed, float scale) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, scale);
  std::vector<float> values(static_cast<size_t>(size));
  for (float& value : values) value = normal(random);
  return values;
}

// A model of random numbers; `scale` is that of one side of its products.
struct Model {
  Model(int64_t dim, float scale, int seed)
      : inputs(Normals(kNumItems * dim, seed, scale)),
        outputs(Normals(kNumItems * dim, seed + 1, 1.0f)),
        weights(Normals(kNumItems * kNeighbours, seed + 2, 0.1f)),
        lifts(Normals(kNumItems, seed + 3, 0.5f)),
        codes(outputs.data(), kNumItems, dim) {
    std::mt19937 random(seed);
    for (int64_t i = 0; i < kNumItems * kNeighbours; ++i) {
      const int64_t near = random() % (kNumItems + 1);
      neighbours.push_back(static_cast<int32_t>(near) - 1);
      if (near == 0) weights[i] = 0.0f;
    }
    for (int64_t i = 0; i < kNumItems; ++i) categories.push_back(random() % 9);
    table = {.num_items = kNumItems,
             .dim = dim,
             .input_vectors = inputs.data(),
             .output_vectors = outputs.data(),
             .num_neighbours = kNeighbours,
             .neighbour_rows = neighbours.data(),
             .neighbour_weights = weights.data(),
             .categories = categories.data(),
             .lifts = lifts.data(),
             .num_categories = 9,
             .category_floor = 1e-4,
             .category_power = 0.3};
  }

  std::vector<float> inputs, outputs, weights, lifts;
  std::vector<int32_t> neighbours, categories;
  CodedVectors codes;
  CoOccurrence table;
};

struct Best {
  std::vector<int64_t> rows;
  std::vector<float> scores;
  bool operator==(const Best&) const = default;
};

Best BestOf(const CoOccurrence& table, int64_t limit, CoOccurrenceScratch& scratch,
            Isa isa) {
  const std::vector<int64_t> rows = {5, -1, 17, 2999, 5};
  const std::vector<float> weights = {1.0f, 9.0f, 0.5f, 0.25f, 2.0f};
  Best best{std::vector<int64_t>(limit), std::vector<float>(limit)};
  const int64_t found =
      BestCoOccurring(table, rows.data(), weights.data(), rows.size(), limit, scratch,
                      best.rows.data(), best.scores.data(), isa);
  best.rows.resize(found);
  best.scores.resize(found);
  return best;
}

class EveryIsa : public testing::TestWithParam<Isa> {};

// Scores of tiny vectors are all neighbours', those of huge ones none.
TEST_P(EveryIsa, TheFirstLookByCodesChangesNothing) {
  for (const int64_t dim : {1, 16, 64, 70}) {
    for (const float scale : {1e-30f, 1e-3f, 1.0f, 1e20f}) {
      Model model(dim, scale, 11);
      CoOccurrence coded = model.table;
      ASSERT_TRUE(model.codes.is_usable());
      coded.coded_vectors = &model.codes;
      CoOccurrenceScratch scratch, plain;
      for (const int64_t limit : {int64_t{1}, int64_t{100}, kNumItems}) {
        // One scratch for all: no call leaves anything to the next.
        const Best want = BestOf(model.table, limit, plain, GetParam());
        EXPECT_GT(want.rows.size(), 0u);
        EXPECT_EQ(BestOf(coded, limit, scratch, GetParam()), want)
            << dim << " " << scale << " " << limit;
      }
    }
  }
}

TEST_P(EveryIsa, CodesAreNoFurtherOffThanTheySay) {
  for (const int64_t dim : {1, 16, 64, 70, 500}) {
    const Model model(dim, 1.0f, 23);
    const float* vector = model.inputs.data();
    CodedVectors::Query query;
    model.codes.SetQuery(vector, query);
    std::vector<float> products(kNumItems), errors(kNumItems), exact(kNumItems);
    model.codes.Products(query, 7, kNumItems - 7, products.data(), errors.data(),
                         GetParam());
    InnerProducts(model.outputs.data() + 7 * dim, kNumItems - 7, dim, vector,
                  exact.data(), GetParam());
    double off = 0.0;
    for (int64_t i = 0; i < kNumItems - 7; ++i) {
      EXPECT_LE(std::abs(products[i] - exact[i]), errors[i]) << dim << " " << i;
      off += std::abs(products[i] - exact[i]) / errors[i];
    }
    EXPECT_GT(off, 0.0) << "codes are exact: nothing was tested";
  }
}

TEST(CodedVectorsTest, ACoordinateThatIsNotFiniteLeavesNoCodes) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float vectors[] = {1.0f, 2.0f, 3.0f, nan};
  EXPECT_FALSE(CodedVectors(vectors, 2, 2).is_usable());
  EXPECT_TRUE(CodedVectors(vectors, 1, 2).is_usable());
}

INSTANTIATE_TEST_SUITE_P(CoOccurrence, EveryIsa, testing::ValuesIn(UsableIsas()));

}  // namespace
}  // namespace stepwell::kernels
