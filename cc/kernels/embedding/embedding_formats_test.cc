#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "cc/kernels/embedding/embedding.h"
#include "cc/kernels/embedding/quantize.h"
#include "cc/kernels/embedding/row_format.h"
#include "cc/kernels/simd/isa.h"

namespace stepwell::kernels {
namespace {

constexpr RowFormat kFormats[] = {RowFormat::kFloat32, RowFormat::kFloat16,
                                  RowFormat::kBfloat16, RowFormat::kInt8,
                                  RowFormat::kInt4};

// One table in a row format with the values its rows stand for.
struct StoredTable {
  std::vector<float> values;
  std::vector<uint64_t> bytes;  // aligned for every format
  EmbeddingTable table;
};

StoredTable RandomTable(RowFormat format, int64_t num_rows, int64_t dim,
                        int64_t default_row) {
  std::mt19937 random(static_cast<unsigned>(dim));
  std::normal_distribution<float> normal;
  StoredTable stored;
  stored.values.resize(num_rows * dim);
  for (float& x : stored.values) x = normal(random);
  stored.bytes.resize(num_rows * RowBytes(format, dim) / 8 + 1);
  uint8_t* rows = reinterpret_cast<uint8_t*>(stored.bytes.data());
  EXPECT_TRUE(QuantizeRows(stored.values.data(), num_rows, dim, format, rows).ok());
  DequantizeRows(rows, num_rows, dim, format, stored.values.data());
  stored.table = {rows, num_rows, dim, 0, format, default_row};
  return stored;
}

struct Bags {
  std::vector<int32_t> indices;
  std::vector<int32_t> offsets = {0};
  std::vector<float> weights;
  int64_t batch;
};

// Bags of 0 to max_length entries, or of exactly one when max_length is 1.
Bags RandomBags(int64_t num_rows, int64_t batch, int max_length) {
  std::mt19937 random(11);
  std::normal_distribution<float> normal;
  Bags bags;
  bags.batch = batch;
  for (int64_t bag = 0; bag < batch; ++bag) {
    const int length =
        max_length == 1 ? 1 : static_cast<int>(random() % (max_length + 1));
    for (int entry = 0; entry < length; ++entry) {
      bags.indices.push_back(static_cast<int32_t>(random() % (num_rows + 1)) - 1);
      bags.weights.push_back(normal(random));
    }
    bags.offsets.push_back(static_cast<int32_t>(bags.indices.size()));
  }
  return bags;
}

EmbeddingBags<int32_t> View(const StoredTable& stored, const Bags& bags,
                            Pooling pooling, bool weighted, RowFormat output_format) {
  return {&stored.table,
          1,
          bags.indices.data(),
          static_cast<int64_t>(bags.indices.size()),
          bags.offsets.data(),
          weighted ? bags.weights.data() : nullptr,
          bags.batch,
          stored.table.dim,
          pooling,
          output_format};
}

// The definition, in float64 and one element at a time.
std::vector<double> Reference(const StoredTable& stored,
                              const EmbeddingBags<int32_t>& bags) {
  const int64_t dim = stored.table.dim;
  const bool pools = bags.pooling != Pooling::kNone;
  std::vector<double> output((pools ? bags.batch : bags.num_indices) * dim, 0.0);
  for (int64_t bag = 0; bag < bags.batch; ++bag) {
    const int64_t length = bags.offsets[bag + 1] - bags.offsets[bag];
    for (int64_t p = bags.offsets[bag]; p < bags.offsets[bag + 1]; ++p) {
      const int64_t row =
          bags.indices[p] < 0 ? stored.table.default_row : bags.indices[p];
      if (row < 0) continue;
      double factor = bags.per_entry_weights ? bags.per_entry_weights[p] : 1.0;
      if (bags.pooling == Pooling::kMean) factor /= static_cast<double>(length);
      for (int64_t d = 0; d < dim; ++d) {
        output[(pools ? bag : p) * dim + d] += factor * stored.values[row * dim + d];
      }
    }
  }
  return output;
}

// Runs the kernel with a margin after the output that it must not touch.
std::vector<float> Run(const EmbeddingBags<int32_t>& bags, int64_t count, Isa isa) {
  const int64_t size = bags.output_format == RowFormat::kFloat32 ? 4 : 2;
  std::vector<uint8_t> output(count * size + 64, 0xA5);
  EXPECT_TRUE(EmbeddingBagForward(bags, 0, bags.batch, output.data(), isa).ok());
  for (size_t at = count * size; at < output.size(); ++at) {
    EXPECT_EQ(output[at], 0xA5) << "past the output";
  }
  std::vector<float> values(count);
  if (count > 0) {
    DequantizeRows(output.data(), 1, count, bags.output_format, values.data());
  }
  return values;
}

void ExpectAsDefined(const StoredTable& stored, const EmbeddingBags<int32_t>& bags) {
  const std::vector<double> expected = Reference(stored, bags);
  for (Isa isa : UsableIsas()) {
    const std::vector<float> got =
        Run(bags, static_cast<int64_t>(expected.size()), isa);
    const double step = bags.output_format == RowFormat::kFloat32   ? 0.0
                        : bags.output_format == RowFormat::kFloat16 ? 1.0 / 2048
                                                                    : 1.0 / 256;
    for (size_t i = 0; i < got.size(); ++i) {
      ASSERT_NEAR(got[i], expected[i], 3e-5 + std::fabs(expected[i]) * step)
          << RowFormatName(stored.table.format) << " of " << stored.table.dim << " at "
          << i << " isa " << static_cast<int>(isa);
    }
  }
}

TEST(EmbeddingFormatsTest, PoolsEveryFormatAsTheDefinitionSays) {
  for (RowFormat format : kFormats) {
    for (int64_t dim : {1, 2, 3, 4, 7, 8, 15, 16, 17, 31, 32, 33, 64, 100, 128, 300}) {
      const StoredTable stored = RandomTable(format, 20, dim, -1);
      const Bags bags = RandomBags(20, 37, 6);
      for (Pooling pooling : {Pooling::kSum, Pooling::kMean, Pooling::kNone}) {
        for (bool weighted : {false, true}) {
          ExpectAsDefined(stored,
                          View(stored, bags, pooling, weighted, RowFormat::kFloat32));
        }
      }
    }
  }
}

TEST(EmbeddingFormatsTest, GathersRunsOfBagsOfOneEntry) {
  for (RowFormat format : kFormats) {
    for (int64_t dim : {5, 16, 64, 128, 200}) {
      for (int64_t batch : {1, 2, 31, 32, 33, 100}) {
        const StoredTable stored = RandomTable(format, 20, dim, 3);
        const Bags bags = RandomBags(20, batch, 1);
        ExpectAsDefined(stored,
                        View(stored, bags, Pooling::kMean, true, RowFormat::kFloat32));
        ExpectAsDefined(stored,
                        View(stored, bags, Pooling::kNone, false, RowFormat::kFloat32));
      }
    }
  }
}

TEST(EmbeddingFormatsTest, WritesSixteenBitOutput) {
  for (RowFormat output : {RowFormat::kFloat16, RowFormat::kBfloat16}) {
    for (RowFormat format : kFormats) {
      for (int64_t dim : {1, 4, 9, 16, 40, 128, 131}) {
        const StoredTable stored = RandomTable(format, 20, dim, -1);
        ExpectAsDefined(
            stored, View(stored, RandomBags(20, 9, 4), Pooling::kSum, false, output));
      }
    }
  }
}

TEST(EmbeddingFormatsTest, AnIndexOfMinusOneNamesTheDefaultRow) {
  for (RowFormat format : kFormats) {
    for (int64_t default_row : {-1, 0, 19}) {
      const StoredTable stored = RandomTable(format, 20, 48, default_row);
      Bags bags = RandomBags(20, 25, 4);
      std::fill(bags.indices.begin(), bags.indices.end(), -1);
      ExpectAsDefined(stored,
                      View(stored, bags, Pooling::kMean, false, RowFormat::kFloat32));
    }
  }
}

TEST(EmbeddingFormatsTest, NamesTheFirstBadOffsetInARunOfBagsOfOneEntry) {
  const StoredTable stored = RandomTable(RowFormat::kInt8, 20, 16, -1);
  Bags bags = RandomBags(20, 40, 1);
  EmbeddingBags<int32_t> view =
      View(stored, bags, Pooling::kSum, false, RowFormat::kFloat32);
  view.num_indices = 10;  // the offsets go on to 40
  std::vector<float> output(40 * 16);
  for (Isa isa : UsableIsas()) {
    const EmbeddingFault fault = EmbeddingBagForward(view, 0, 40, output.data(), isa);
    EXPECT_EQ(fault.kind, EmbeddingFault::Kind::kOffset);
    EXPECT_EQ(fault.position, 11);
    EXPECT_EQ(fault.value, 11);
  }
}

TEST(EmbeddingFormatsTest, InfinitiesAndNansComeThroughSixteenBits) {
  const uint16_t kHalves[] = {0x7C00, 0xFC00, 0x7E00, 0x0001};
  const EmbeddingTable table = {kHalves, 1, 4, 0, RowFormat::kFloat16, -1};
  const int64_t indices[] = {0};
  const int64_t offsets[] = {0, 1};
  const EmbeddingBags<int64_t> bags = {&table,
                                       1,
                                       indices,
                                       1,
                                       offsets,
                                       nullptr,
                                       1,
                                       4,
                                       Pooling::kSum,
                                       RowFormat::kFloat16};
  for (Isa isa : UsableIsas()) {
    uint16_t output[4];
    ASSERT_TRUE(EmbeddingBagForward(bags, 0, 1, output, isa).ok());
    EXPECT_EQ(output[0], 0x7C00);
    EXPECT_EQ(output[1], 0xFC00);
    EXPECT_EQ(output[2] & 0x7E00, 0x7E00);
    EXPECT_EQ(output[3], 0x0001);
  }
}

}  // namespace
}  // namespace stepwell::kernels
