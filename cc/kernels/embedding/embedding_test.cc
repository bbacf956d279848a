#include "cc/kernels/embedding/embedding.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

#include "cc/kernels/simd/isa.h"

namespace stepwell::kernels {
namespace {

// Random tables and bags with the memory that EmbeddingBags points to.
struct Lookups {
  std::vector<std::vector<float>> rows;
  std::vector<EmbeddingTable> tables;
  std::vector<int64_t> indices;
  std::vector<int64_t> offsets = {0};
  std::vector<float> weights;
  int64_t batch = 0;
  int64_t output_dim = 0;

  EmbeddingBags<int64_t> Bags(Pooling pooling, bool weighted) const {
    return {tables.data(),  static_cast<int64_t>(tables.size()),
            indices.data(), static_cast<int64_t>(indices.size()),
            offsets.data(), weighted ? weights.data() : nullptr,
            batch,          output_dim,
            pooling,        RowFormat::kFloat32};
  }
  int64_t num_bags() const { return static_cast<int64_t>(offsets.size()) - 1; }
};

Lookups RandomLookups(const std::vector<int64_t>& dims, int64_t batch, int max_length) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  Lookups lookups;
  lookups.batch = batch;
  lookups.rows.reserve(dims.size());
  for (int64_t dim : dims) {
    const int64_t num_rows = 1 + static_cast<int64_t>(random() % 50);
    std::vector<float>& rows = lookups.rows.emplace_back(num_rows * dim);
    for (float& x : rows) x = normal(random);
    lookups.tables.push_back(
        {rows.data(), num_rows, dim, lookups.output_dim, RowFormat::kFloat32, -1});
    lookups.output_dim += dim;
    for (int64_t bag = 0; bag < batch; ++bag) {
      const int length = static_cast<int>(random() % (max_length + 1));
      for (int entry = 0; entry < length; ++entry) {
        lookups.indices.push_back(static_cast<int64_t>(random() % (num_rows + 1)) - 1);
        lookups.weights.push_back(normal(random));
      }
      lookups.offsets.push_back(static_cast<int64_t>(lookups.indices.size()));
    }
  }
  return lookups;
}

// The definition, in float64 and one element at a time.
std::vector<double> ReferencePool(const EmbeddingBags<int64_t>& bags) {
  std::vector<double> output(bags.batch * bags.output_stride, 0.0);
  for (int64_t bag = 0; bag < bags.num_tables * bags.batch; ++bag) {
    const EmbeddingTable& table = bags.tables[bag / bags.batch];
    const int64_t length = bags.offsets[bag + 1] - bags.offsets[bag];
    for (int64_t p = bags.offsets[bag]; p < bags.offsets[bag + 1]; ++p) {
      if (bags.indices[p] < 0) continue;
      double factor = bags.per_entry_weights ? bags.per_entry_weights[p] : 1.0;
      if (bags.pooling == Pooling::kMean) factor /= static_cast<double>(length);
      for (int64_t d = 0; d < table.dim; ++d) {
        output[bag % bags.batch * bags.output_stride + table.output_column + d] +=
            factor *
            static_cast<const float*>(table.rows)[bags.indices[p] * table.dim + d];
      }
    }
  }
  return output;
}

const std::vector<int64_t> kDims = {1, 3, 4, 7, 8, 15, 16, 17, 33, 64, 100, 128, 200};

TEST(EmbeddingTest, PoolsAsTheDefinitionSays) {
  for (int64_t batch : {1, 5, 67}) {
    const Lookups lookups = RandomLookups(kDims, batch, 9);
    for (Pooling pooling : {Pooling::kSum, Pooling::kMean}) {
      for (bool weighted : {false, true}) {
        const EmbeddingBags<int64_t> bags = lookups.Bags(pooling, weighted);
        const std::vector<double> expected = ReferencePool(bags);
        for (Isa isa : UsableIsas()) {
          std::vector<float> got(expected.size(), 1e9f);
          ASSERT_TRUE(
              EmbeddingBagForward(bags, 0, lookups.num_bags(), got.data(), isa).ok());
          for (size_t i = 0; i < got.size(); ++i) {
            ASSERT_NEAR(got[i], expected[i], 2e-5) << "element " << i;
          }
        }
      }
    }
  }
}

TEST(EmbeddingTest, SplittingTheBagsChangesNoBit) {
  const Lookups lookups = RandomLookups({16, 5, 64}, 23, 6);
  const EmbeddingBags<int64_t> bags = lookups.Bags(Pooling::kMean, true);
  std::vector<float> whole(23 * lookups.output_dim);
  std::vector<float> parts(whole.size());
  ASSERT_TRUE(EmbeddingBagForward(bags, 0, lookups.num_bags(), whole.data()).ok());
  for (int64_t first = 0; first < lookups.num_bags(); first += 4) {
    const int64_t last = std::min<int64_t>(first + 4, lookups.num_bags());
    ASSERT_TRUE(EmbeddingBagForward(bags, first, last, parts.data()).ok());
  }
  EXPECT_EQ(whole, parts);
}

TEST(EmbeddingTest, NarrowIndicesGiveTheSame) {
  const Lookups lookups = RandomLookups({16, 5}, 11, 4);
  const std::vector<int32_t> indices(lookups.indices.begin(), lookups.indices.end());
  const std::vector<int32_t> offsets(lookups.offsets.begin(), lookups.offsets.end());
  const EmbeddingBags<int32_t> narrow = {
      lookups.tables.data(), 2,
      indices.data(),        static_cast<int64_t>(indices.size()),
      offsets.data(),        nullptr,
      lookups.batch,         lookups.output_dim,
      Pooling::kSum};
  std::vector<float> wide_out(11 * lookups.output_dim);
  std::vector<float> narrow_out(wide_out.size());
  const EmbeddingBags<int64_t> wide = lookups.Bags(Pooling::kSum, false);
  ASSERT_TRUE(EmbeddingBagForward(wide, 0, 22, wide_out.data()).ok());
  ASSERT_TRUE(EmbeddingBagForward(narrow, 0, 22, narrow_out.data()).ok());
  EXPECT_EQ(wide_out, narrow_out);
}

TEST(EmbeddingTest, NamesTableAndPositionOfABadIndex) {
  for (int64_t bad : {int64_t{-2}, int64_t{51}, INT64_MIN, INT64_MAX}) {
    Lookups lookups = RandomLookups({16, 100}, 5, 3);
    const int64_t position = lookups.offsets[5];  // the first entry of table 1
    lookups.indices[position] = bad;
    lookups.offsets[6] = std::max(lookups.offsets[6], position + 1);
    for (int64_t bag = 7; bag <= 10; ++bag) {
      lookups.offsets[bag] = std::max(lookups.offsets[bag], lookups.offsets[6]);
    }
    std::vector<float> out(5 * lookups.output_dim);
    for (Isa isa : UsableIsas()) {
      const EmbeddingFault fault = EmbeddingBagForward(
          lookups.Bags(Pooling::kSum, false), 0, 10, out.data(), isa);
      EXPECT_EQ(fault.kind, EmbeddingFault::Kind::kIndex);
      EXPECT_EQ(fault.table, 1);
      EXPECT_EQ(fault.position, position);
      EXPECT_EQ(fault.value, bad);
    }
  }
}

TEST(EmbeddingTest, NamesTheOffsetThatFallsOrLeavesTheIndices) {
  for (int64_t bad : {int64_t{-1}, int64_t{1000}, INT64_MIN, INT64_MAX}) {
    for (int64_t at : {0, 1, 7}) {
      Lookups lookups = RandomLookups({16, 4}, 4, 3);
      lookups.offsets[at] = bad;
      std::vector<float> out(4 * lookups.output_dim);
      const EmbeddingFault fault =
          EmbeddingBagForward(lookups.Bags(Pooling::kSum, false), 0, 8, out.data());
      EXPECT_EQ(fault.kind, EmbeddingFault::Kind::kOffset) << bad << " at " << at;
      EXPECT_EQ(fault.position, at);
      EXPECT_EQ(fault.value, bad);
    }
  }
}

TEST(EmbeddingTest, EmptyTableTakesOnlyTheDefaultRow) {
  const EmbeddingTable table = {nullptr, 0, 3, 0, RowFormat::kFloat32, -1};
  const int64_t indices[] = {-1, 0};
  const int64_t offsets[] = {0, 1, 2};
  const EmbeddingBags<int64_t> bags = {&table,
                                       1,
                                       indices,
                                       2,
                                       offsets,
                                       nullptr,
                                       2,
                                       3,
                                       Pooling::kSum,
                                       RowFormat::kFloat32};
  float out[6] = {9, 9, 9, 9, 9, 9};
  EXPECT_EQ(EmbeddingBagForward(bags, 0, 2, out).position, 1);
  EXPECT_EQ(out[0], 0.0f);
}

TEST(EmbeddingTest, BackwardIsTheTransposeOfForward) {
  // <grad, pool(rows)> is linear in the rows: its gradient times the rows gives it
  // back.
  const Lookups lookups = RandomLookups(kDims, 19, 5);
  for (Pooling pooling : {Pooling::kSum, Pooling::kMean}) {
    const EmbeddingBags<int64_t> bags = lookups.Bags(pooling, true);
    const std::vector<double> output = ReferencePool(bags);
    std::vector<float> grad(output.size());
    std::mt19937 random(3);
    for (float& x : grad) x = std::normal_distribution<float>()(random);
    double expected = 0;
    for (size_t i = 0; i < grad.size(); ++i) expected += grad[i] * output[i];
    for (Isa isa : UsableIsas()) {
      double by_rows = 0;
      for (size_t t = 0; t < lookups.tables.size(); ++t) {
        std::vector<float> table_grad(lookups.rows[t].size(), 0.0f);
        ASSERT_TRUE(EmbeddingBagBackward(bags, static_cast<int64_t>(t), grad.data(),
                                         table_grad.data(), isa)
                        .ok());
        for (size_t i = 0; i < table_grad.size(); ++i) {
          by_rows += static_cast<double>(table_grad[i]) * lookups.rows[t][i];
        }
      }
      EXPECT_NEAR(by_rows, expected, 1e-2);
      std::vector<float> weights_grad(lookups.indices.size(), 1e9f);
      ASSERT_TRUE(EmbeddingBagWeightsBackward(bags, 0, lookups.num_bags(), grad.data(),
                                              weights_grad.data(), isa)
                      .ok());
      double by_weights = 0;
      for (size_t p = 0; p < weights_grad.size(); ++p) {
        by_weights += static_cast<double>(weights_grad[p]) * lookups.weights[p];
      }
      EXPECT_NEAR(by_weights, expected, 1e-2);
    }
  }
}

}  // namespace
}  // namespace stepwell::kernels
