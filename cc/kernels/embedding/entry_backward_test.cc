#include "cc/kernels/embedding/entry_backward.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <vector>

#include "cc/kernels/simd/isa.h"

namespace stepwell::kernels {
namespace {

// Bags of 0 to 4 entries of one table, which come after others' entries.
struct Entries {
  std::vector<int64_t> offsets = {3};
  std::vector<float> weights;
  std::vector<float> grad;
  int64_t batch;
  int64_t dim;
  int64_t stride;

  Entries(int64_t batch, int64_t dim) : batch(batch), dim(dim), stride(dim + 5) {
    std::mt19937 random(11);
    std::normal_distribution<float> normal;
    for (int64_t bag = 0; bag < batch; ++bag) {
      offsets.push_back(offsets.back() + static_cast<int64_t>(random() % 5));
    }
    for (int64_t entry = 0; entry < size(); ++entry) weights.push_back(normal(random));
    for (int64_t i = 0; i < batch * stride; ++i) grad.push_back(normal(random));
  }
  int64_t size() const { return offsets.back() - offsets.front(); }
  EntryBags<int64_t> Bags(bool is_mean, bool weighted) const {
    return {offsets.data(), batch,  weighted ? weights.data() : nullptr,
            grad.data(),    stride, dim,
            is_mean};
  }
};

const std::vector<int64_t> kDims = {1, 3, 4, 8, 15, 16, 17, 64, 100};

TEST(EntryBackwardTest, AnEntryGetsItsBagsGradientTimesItsFactor) {
  for (int64_t batch : {0, 1, 7, 40}) {
    for (int64_t dim : kDims) {
      const Entries entries(batch, dim);
      for (bool is_mean : {false, true}) {
        for (bool weighted : {false, true}) {
          for (Isa isa : UsableIsas()) {
            std::vector<float> got(entries.size() * dim + 1, 1e9f);
            EntryBackward(entries.Bags(is_mean, weighted), 0, batch, got.data(), isa);
            int64_t at = 0;
            for (int64_t bag = 0; bag < batch; ++bag) {
              const int64_t length = entries.offsets[bag + 1] - entries.offsets[bag];
              for (int64_t entry = 0; entry < length; ++entry) {
                const int64_t number = entries.offsets[bag] + entry - 3;
                const double factor = (weighted ? entries.weights[number] : 1.0) /
                                      (is_mean ? static_cast<double>(length) : 1.0);
                for (int64_t d = 0; d < dim; ++d) {
                  ASSERT_NEAR(got[at++], factor * entries.grad[bag * (dim + 5) + d],
                              1e-6);
                }
              }
            }
            ASSERT_EQ(got.back(), 1e9f) << "wrote past the entries";
          }
        }
      }
    }
  }
}

TEST(EntryBackwardTest, WithoutPoolingARowOfTheGradientIsAnEntry) {
  const std::vector<float> grad = {1, 2, 3, 4, 5, 6};
  const std::vector<float> weights = {10, -1, 0};
  const EntryBags<int32_t> bags = {nullptr, 3, weights.data(), grad.data(),
                                   2,       2, false};
  for (Isa isa : UsableIsas()) {
    std::vector<float> got(6);
    EntryBackward(bags, 0, 3, got.data(), isa);
    EXPECT_EQ(got, (std::vector<float>{10, 20, -3, -4, 0, 0}));
  }
}

TEST(EntryBackwardTest, SplittingTheBagsOrAnotherInstructionSetChangesNoBit) {
  const Entries entries(23, 33);
  const EntryBags<int64_t> bags = entries.Bags(true, true);
  std::vector<float> whole(entries.size() * 33);
  EntryBackward(bags, 0, 23, whole.data(), UsableIsas().front());
  for (Isa isa : UsableIsas()) {
    std::vector<float> parts(whole.size());
    for (int64_t bag = 0; bag < 23; ++bag) {
      EntryBackward(bags, bag, bag + 1, parts.data(), isa);
    }
    EXPECT_EQ(whole, parts);
  }
}

}  // namespace
}  // namespace stepwell::kernels
