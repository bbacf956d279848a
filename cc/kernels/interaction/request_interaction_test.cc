#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <vector>

#include "cc/kernels/interaction/interaction.h"
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

// What request_interaction stands for: the user's vectors before every sample's items.
std::vector<float> DotsOfTiled(const RequestShape& shape, int64_t num_samples,
                               const std::vector<float>& user,
                               const std::vector<float>& items, Isa isa) {
  const InteractionShape tiled = {shape.num_vectors() - 1, shape.dim};
  const int64_t items_size = shape.num_items * shape.dim;
  std::vector<float> dense;
  std::vector<float> sparse;
  for (int64_t s = 0; s < num_samples; ++s) {
    dense.insert(dense.end(), user.begin(), user.begin() + shape.dim);
    sparse.insert(sparse.end(), user.begin() + shape.dim, user.end());
    sparse.insert(sparse.end(), items.begin() + s * items_size,
                  items.begin() + (s + 1) * items_size);
  }
  std::vector<float> output(num_samples * shape.output_dim());
  DotInteractionForward<float>(tiled, num_samples, dense.data(), sparse.data(),
                               output.data(), isa);
  return output;
}

TEST(RequestInteractionTest, GivesTheBitsOfTheTiledInputAtEverySize) {
  for (int64_t num_user : {1, 2, 5, 13, 16, 17, 33}) {
    for (int64_t num_items : {0, 1, 3, 14, 16, 31}) {
      for (int64_t dim : {0, 1, 5, 16, 64, 100}) {
        const RequestShape shape = {num_user, num_items, dim};
        const std::vector<float> user = RandomFloats(num_user * dim, 1);
        const std::vector<float> items = RandomFloats(3 * num_items * dim, 2);
        for (Isa isa : UsableIsas()) {
          std::vector<float> expected = DotsOfTiled(shape, 3, user, items, isa);
          // One more float than is written: nothing may go past the end.
          expected.push_back(1e9f);
          std::vector<float> got(expected.size(), 1e9f);
          RequestInteractionForward<float>(shape, 3, user.data(), items.data(),
                                           got.data(), isa);
          ASSERT_EQ(got, expected)
              << "U " << num_user << " I " << num_items << " D " << dim;
        }
      }
    }
  }
}

}  // namespace
}  // namespace stepwell::kernels
