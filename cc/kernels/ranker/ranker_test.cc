#include "cc/kernels/ranker/ranker.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <random>
#include <vector>

namespace stepwell::kernels {
namespace {

using Matrix = std::vector<std::vector<double>>;
using Row = std::vector<double>;

float Rounded(double value) {
  uint32_t bits = std::bit_cast<uint32_t>(static_cast<float>(value));
  bits = (bits + 0x7FFFu + ((bits >> 16) & 1u)) & 0xFFFF0000u;
  return std::bit_cast<float>(bits);
}

uint16_t Bfloat16(double value) {
  return static_cast<uint16_t>(std::bit_cast<uint32_t>(Rounded(value)) >> 16);
}

std::vector<RankerIsa> Isas() {
  std::vector<RankerIsa> isas = {RankerIsa::kBaseline};
  if (BestRankerIsa() != RankerIsa::kBaseline) isas.push_back(BestRankerIsa());
  return isas;
}

// One layer, packed as the kernel takes it and plain as the definition does.
struct Layer {
  Matrix weight;
  Row bias;
  std::vector<uint16_t> halves;
  std::vector<int8_t> codes;
  std::vector<float> padded_bias;
  std::vector<float> scales;
  std::vector<int32_t> start;
  RankerLayer packed{};

  Layer(int64_t in, int64_t out, bool is_int8, bool is_signed, bool relu,
        std::mt19937& random) {
    std::normal_distribution<double> normal(0.0, 1.0 / std::sqrt(in));
    weight.assign(out, Row(in));
    bias.assign(out, 0.0);
    packed.is_int8 = is_int8;
    packed.is_signed = is_signed;
    packed.relu = relu;
    packed.num_inputs = in;
    packed.num_outputs = out;
    for (Row& row : weight) {
      for (double& w : row) w = Rounded(normal(random));
    }
    for (double& b : bias) b = static_cast<float>(normal(random));
    is_int8 ? PackCodes() : PackHalves();
    padded_bias.assign(packed.padded_outputs(), 0.0f);
    std::copy(bias.begin(), bias.end(), padded_bias.begin());
    packed.bias = padded_bias.data();
  }

  size_t Place(int64_t output, int64_t input) const {
    const int64_t n = packed.inputs_a_step();
    return ((output / kPanel * packed.num_steps() + input / n) * kPanel +
            output % kPanel) *
               n +
           input % n;
  }

  void PackHalves() {
    halves.assign(packed.num_steps() * packed.padded_outputs() * 2, 0);
    for (int64_t o = 0; o < packed.num_outputs; ++o) {
      for (int64_t i = 0; i < packed.num_inputs; ++i) {
        halves[Place(o, i)] = Bfloat16(weight[o][i]);
      }
    }
    packed.weights = halves.data();
  }

  // The weights become what their codes stand for.
  void PackCodes() {
    codes.assign(packed.num_steps() * packed.padded_outputs() * 4, 0);
    scales.assign(packed.padded_outputs(), 0.0f);
    start.assign(packed.padded_outputs(), 0);
    for (int64_t o = 0; o < packed.num_outputs; ++o) {
      double largest = 0.0;
      for (double w : weight[o]) largest = std::max(largest, std::abs(w));
      scales[o] = static_cast<float>(largest / 127);
      for (int64_t i = 0; i < packed.num_inputs; ++i) {
        const int code = static_cast<int>(std::lround(weight[o][i] / scales[o]));
        codes[Place(o, i)] = static_cast<int8_t>(code);
        weight[o][i] = code * static_cast<double>(scales[o]);
        if (packed.is_signed) start[o] -= 128 * code;
      }
    }
    packed.weights = codes.data();
    packed.scales = scales.data();
    packed.start = start.data();
  }

  Row Of(const Row& inputs, const Row& own_bias) const {
    Row outputs(own_bias);
    for (size_t o = 0; o < outputs.size(); ++o) {
      for (size_t i = 0; i < inputs.size(); ++i) outputs[o] += weight[o][i] * inputs[i];
      if (packed.relu) outputs[o] = std::max(outputs[o], 0.0);
    }
    return outputs;
  }
};

double Dot(const Row& a, const Row& b) {
  double sum = 0.0;
  for (size_t k = 0; k < a.size(); ++k) sum += a[k] * b[k];
  return sum;
}

struct Sizes {
  int64_t num_dense, dim, num_items_vectors, num_user_rows;
  int64_t hidden, top, num_objectives;
  bool is_int8;
};

// A ranker of given sizes, with everything it points into.
class Ranker {
 public:
  explicit Ranker(const Sizes& sizes) : sizes_(sizes), random_(7) {
    const int64_t crossed = sizes.hidden + sizes.num_items_vectors +
                            (sizes.num_user_rows > 0 ? sizes.num_items_vectors + 1 : 0);
    Add(sizes.num_dense, sizes.hidden + 3, false, true, true);
    Add(sizes.hidden + 3, sizes.hidden, sizes.is_int8, false, true);
    Add(sizes.hidden, sizes.dim, false, false, false);
    Add(crossed, sizes.top, sizes.is_int8, true, true);
    Add(sizes.top, sizes.top, sizes.is_int8, false, true);
    MakeColumns();
    MakeItems();
    FillModel();
  }

  const RankerModel& model() const { return model_; }

  std::vector<float> RandomDense(int64_t count) {
    std::normal_distribution<float> normal(1.0f, 2.0f);
    std::vector<float> dense(count * sizes_.num_dense);
    for (float& x : dense) x = normal(random_);
    return dense;
  }

  // The definition, in float64 but for the rounding of what is stored.
  Row Logits(const float* dense, int64_t item, int64_t user) const {
    Row hidden = Standardised(dense);
    for (int l : {0, 1}) hidden = layers_[l]->Of(hidden, layers_[l]->bias);
    const Row vector = layers_[2]->Of(hidden, layers_[2]->bias);
    Row crossed = hidden;
    for (const Row& own : vectors_[item]) crossed.push_back(Dot(vector, own));
    if (sizes_.num_user_rows > 0) {
      for (const Row& own : vectors_[item]) crossed.push_back(Dot(users_[user], own));
      crossed.push_back(Dot(users_[user], vector));
    }
    Row top = layers_[3]->Of(crossed, sums_[item]);
    top = layers_[4]->Of(top, layers_[4]->bias);
    Row logits;
    for (const Row& weights : output_) logits.push_back(Dot(top, weights) + 0.25);
    return logits;
  }

 private:
  void Add(int64_t in, int64_t out, bool is_int8, bool is_signed, bool relu) {
    layers_.push_back(
        std::make_unique<Layer>(in, out, is_int8, is_signed, relu, random_));
  }

  Row RandomRow(int64_t size, double scale) {
    std::normal_distribution<double> normal(0.0, scale);
    Row row(size);
    for (double& x : row) x = Rounded(normal(random_));
    return row;
  }

  void MakeColumns() {
    for (int64_t k = 0; k < sizes_.num_dense; ++k) {
      is_log_.push_back(k % 2 == 0 ? 1.0f : 0.0f);
      mean_.push_back(0.5f);
      inverse_scale_.push_back(0.75f);
    }
  }

  Row Standardised(const float* dense) const {
    Row values;
    for (int64_t k = 0; k < sizes_.num_dense; ++k) {
      const double x = dense[k];
      const double value = is_log_[k] > 0 ? std::log1p(std::max(x, 0.0)) : x;
      const double scaled = (value - mean_[k]) * inverse_scale_[k];
      values.push_back(std::isfinite(x) ? std::clamp(scaled, -6.0, 6.0) : 0.0);
    }
    return values;
  }

  void MakeItems() {
    model_.projection = layers_[2]->packed;
    model_.num_item_vectors = sizes_.num_items_vectors;
    const int64_t steps = (sizes_.dim + 1) / 2;
    const int64_t bytes =
        model_.vector_bytes() + 2 * layers_[3]->packed.padded_outputs();
    model_.record_bytes = (bytes + 63) / 64 * 64;
    items_.assign(kNumItems * model_.record_bytes / 2, 0);
    for (int64_t item = 0; item < kNumItems; ++item) {
      uint16_t* record = items_.data() + item * model_.record_bytes / 2;
      vectors_.emplace_back();
      for (int64_t v = 0; v < sizes_.num_items_vectors; ++v) {
        vectors_[item].push_back(RandomRow(sizes_.dim, 0.5));
        for (int64_t k = 0; k < sizes_.dim; ++k) {
          record[((v / kGroup * steps + k / 2) * kGroup + v % kGroup) * 2 + k % 2] =
              Bfloat16(vectors_[item][v][k]);
        }
      }
      sums_.push_back(RandomRow(sizes_.top, 0.5));
      for (int64_t o = 0; o < sizes_.top; ++o) {
        record[model_.vector_bytes() / 2 + o] = Bfloat16(sums_[item][o]);
      }
    }
  }

  void FillModel() {
    model_.num_dense = sizes_.num_dense;
    model_.is_log = is_log_.data();
    model_.mean = mean_.data();
    model_.inverse_scale = inverse_scale_.data();
    model_.clip = 6.0f;
    model_.bottom = {layers_[0]->packed, layers_[1]->packed};
    model_.top = {layers_[3]->packed, layers_[4]->packed};
    model_.num_objectives = sizes_.num_objectives;
    const int64_t width = layers_[4]->packed.padded_outputs();
    output_weights_.assign(sizes_.num_objectives * width, 0.0f);
    for (int64_t o = 0; o < sizes_.num_objectives; ++o) {
      output_.push_back(RandomRow(sizes_.top, 1.0 / std::sqrt(sizes_.top)));
      std::copy(output_[o].begin(), output_[o].end(),
                output_weights_.begin() + o * width);
    }
    output_bias_.assign(sizes_.num_objectives, 0.25f);
    model_.output_weights = output_weights_.data();
    model_.output_bias = output_bias_.data();
    model_.num_user_rows = sizes_.num_user_rows;
    for (int64_t user = 0; user < sizes_.num_user_rows; ++user) {
      users_.push_back(RandomRow(sizes_.dim, 0.5));
      user_table_.insert(user_table_.end(), users_[user].begin(), users_[user].end());
    }
    model_.users = user_table_.data();
    model_.num_items = kNumItems;
    model_.items = reinterpret_cast<const uint8_t*>(items_.data());
  }

  static constexpr int64_t kNumItems = 9;
  Sizes sizes_;
  std::mt19937 random_;
  std::vector<std::unique_ptr<Layer>> layers_;
  std::vector<float> is_log_, mean_, inverse_scale_, output_weights_, output_bias_;
  std::vector<float> user_table_;
  std::vector<uint16_t> items_;
  std::vector<Matrix> vectors_;
  Matrix sums_, users_, output_;
  RankerModel model_{};
};

std::vector<int64_t> RowsOf(int64_t count) {
  std::vector<int64_t> rows(count);
  for (int64_t i = 0; i < count; ++i) rows[i] = i * 5 % 9;
  return rows;
}

std::vector<float> Ranked(const Ranker& ranker, const std::vector<float>& dense,
                          const std::vector<int64_t>& rows, RankerIsa isa) {
  std::vector<float> logits(rows.size() * ranker.model().num_objectives);
  const int64_t count = static_cast<int64_t>(rows.size());
  RankCandidates(ranker.model(), {dense.data(), rows.data(), count, 1}, logits.data(),
                 isa);
  return logits;
}

constexpr Sizes kSizes[] = {
    {13, 64, 25, 4, 64, 96, 1, true}, {86, 8, 3, 7, 64, 64, 2, false},
    {1, 1, 0, 0, 1, 1, 1, false},     {17, 7, 16, 0, 33, 65, 3, true},
    {16, 5, 17, 2, 70, 130, 1, true}, {3, 16, 0, 2, 16, 16, 1, false},
};

class RankerTest : public testing::TestWithParam<Sizes> {};

TEST_P(RankerTest, EqualsItsDefinition) {
  Ranker ranker(GetParam());
  for (int64_t count : {1, 5, 6, 47, 48, 49, 101}) {
    const std::vector<float> dense = ranker.RandomDense(count);
    const std::vector<int64_t> rows = RowsOf(count);
    for (RankerIsa isa : Isas()) {
      const std::vector<float> logits = Ranked(ranker, dense, rows, isa);
      for (int64_t i = 0; i < count; ++i) {
        const Row wanted =
            ranker.Logits(dense.data() + i * GetParam().num_dense, rows[i], 1);
        for (size_t o = 0; o < wanted.size(); ++o) {
          ASSERT_NEAR(logits[i * wanted.size() + o], wanted[o], 0.04)
              << "candidate " << i << " of " << count;
        }
      }
    }
  }
}

TEST_P(RankerTest, ACandidateDoesNotDependOnTheOthers) {
  Ranker ranker(GetParam());
  const std::vector<float> dense = ranker.RandomDense(53);
  const std::vector<int64_t> rows = RowsOf(53);
  for (RankerIsa isa : Isas()) {
    const std::vector<float> together = Ranked(ranker, dense, rows, isa);
    const int64_t width = GetParam().num_dense;
    const std::vector<float> last(dense.end() - width, dense.end());
    const std::vector<float> alone = Ranked(ranker, last, {rows.back()}, isa);
    for (size_t o = 0; o < alone.size(); ++o) {
      EXPECT_EQ(alone[o], together[together.size() - alone.size() + o]);
    }
  }
}

TEST_P(RankerTest, WhatIsNotFiniteCountsAsTheMean) {
  Ranker ranker(GetParam());
  for (float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
        -std::numeric_limits<float>::infinity()}) {
    std::vector<float> dense = ranker.RandomDense(1);
    for (float& x : dense) x = bad;
    for (RankerIsa isa : Isas()) {
      const std::vector<float> logits = Ranked(ranker, dense, {2}, isa);
      const Row wanted = ranker.Logits(dense.data(), 2, 1);
      for (size_t o = 0; o < wanted.size(); ++o) {
        EXPECT_NEAR(logits[o], wanted[o], 0.04) << bad;
      }
    }
  }
}

TEST_P(RankerTest, TakesLogarithmsOfSmallAndLargeNumbers) {
  Ranker ranker(GetParam());
  for (float x : {0.0f, 1e-30f, 1e-4f, 0.5f, 0.999f, 1.0f, 3.0f, 1e4f, 3e38f, -1.0f}) {
    const std::vector<float> dense(GetParam().num_dense, x);
    const Row wanted = ranker.Logits(dense.data(), 0, 1);
    for (RankerIsa isa : Isas()) {
      const std::vector<float> logits = Ranked(ranker, dense, {0}, isa);
      EXPECT_NEAR(logits[0], wanted[0], 0.04) << x;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, RankerTest, testing::ValuesIn(kSizes));

TEST(RankerTest, NoCandidatesAreNoError) {
  Ranker ranker(kSizes[0]);
  EXPECT_TRUE(Ranked(ranker, {}, {}, BestRankerIsa()).empty());
}

}  // namespace
}  // namespace stepwell::kernels
