#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "cc/kernels/interaction/interaction.h"
#include "cc/kernels/simd/isa.h"

// bfloat16 against the float kernels on the same numbers: one rounding apart.
namespace stepwell::kernels {
namespace {

struct Path {
  Isa isa;
  bool bfloat16_dots;
};

std::vector<Path> UsablePaths() {
  std::vector<Path> paths;
  for (Isa isa : UsableIsas()) paths.push_back({isa, false});
  if (HasBfloat16Dots()) paths.push_back({Isa::kAvx512, true});
  return paths;
}

float ToFloat(Bfloat16 x) {
  const uint32_t bits = static_cast<uint32_t>(x.bits) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// Both forms of the same numbers.
struct Numbers {
  std::vector<Bfloat16> narrow;
  std::vector<float> wide;
};

Numbers RandomNumbers(int64_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  Numbers numbers;
  for (int64_t i = 0; i < count; ++i) {
    const float value = normal(random);
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    numbers.narrow.push_back({static_cast<uint16_t>(bits >> 16)});
    numbers.wide.push_back(ToFloat(numbers.narrow.back()));
  }
  return numbers;
}

// The last element stands for what lies behind the output.
constexpr uint16_t kUntouched = 0x5555;

void ExpectRounded(const std::vector<Bfloat16>& got, const std::vector<float>& expected,
                   int64_t num_vectors, int64_t dim) {
  ASSERT_EQ(got.size(), expected.size() + 1);
  for (size_t i = 0; i < expected.size(); ++i) {
    // Half a unit in the last of 8 bits, and the order of the sum.
    ASSERT_NEAR(ToFloat(got[i]), expected[i], std::abs(expected[i]) / 256 + 1e-4)
        << num_vectors << " vectors, D " << dim << " element " << i;
  }
  ASSERT_EQ(got.back().bits, kUntouched) << num_vectors << " vectors, D " << dim;
}

TEST(InteractionBfloat16Test, ForwardIsTheFloatResultRoundedAtEverySize) {
  for (int64_t num_sparse : {0, 1, 2, 8, 15, 16, 17, 26, 33}) {
    for (int64_t dim : {0, 1, 2, 3, 16, 31, 32, 33, 64, 101}) {
      const InteractionShape shape = {num_sparse, dim};
      const Numbers dense = RandomNumbers(3 * dim, 1);
      const Numbers sparse = RandomNumbers(3 * num_sparse * dim, 2);
      std::vector<float> expected(3 * shape.output_dim());
      DotInteractionForward<float>(shape, 3, dense.wide.data(), sparse.wide.data(),
                                   expected.data());
      for (const Path& path : UsablePaths()) {
        std::vector<Bfloat16> got(expected.size() + 1, {kUntouched});
        DotInteractionForward<Bfloat16>(shape, 3, dense.narrow.data(),
                                        sparse.narrow.data(), got.data(), path.isa,
                                        path.bfloat16_dots);
        ExpectRounded(got, expected, shape.num_vectors(), dim);
      }
    }
  }
}

TEST(InteractionBfloat16Test, RequestIsTheFloatResultRoundedAtEverySize) {
  for (int64_t num_user : {1, 2, 13, 17}) {
    for (int64_t num_items : {0, 1, 14, 16}) {
      for (int64_t dim : {0, 1, 2, 33, 64}) {
        const RequestShape shape = {num_user, num_items, dim};
        const Numbers user = RandomNumbers(num_user * dim, 1);
        const Numbers items = RandomNumbers(3 * num_items * dim, 2);
        std::vector<float> expected(3 * shape.output_dim());
        RequestInteractionForward<float>(shape, 3, user.wide.data(), items.wide.data(),
                                         expected.data());
        for (const Path& path : UsablePaths()) {
          std::vector<Bfloat16> got(expected.size() + 1, {kUntouched});
          RequestInteractionForward<Bfloat16>(shape, 3, user.narrow.data(),
                                              items.narrow.data(), got.data(), path.isa,
                                              path.bfloat16_dots);
          ExpectRounded(got, expected, shape.num_vectors(), dim);
        }
      }
    }
  }
}

TEST(InteractionBfloat16Test, BackwardIsTheFloatResultRoundedAtEverySize) {
  for (int64_t num_sparse : {0, 1, 6, 15, 16, 26, 33}) {
    for (int64_t dim : {0, 1, 31, 64, 101}) {
      const InteractionShape shape = {num_sparse, dim};
      const Numbers dense = RandomNumbers(2 * dim, 1);
      const Numbers sparse = RandomNumbers(2 * num_sparse * dim, 2);
      const Numbers grad = RandomNumbers(2 * shape.output_dim(), 3);
      std::vector<float> expected_dense(2 * dim);
      std::vector<float> expected_sparse(2 * num_sparse * dim);
      DotInteractionBackward<float>(shape, 2, grad.wide.data(), dense.wide.data(),
                                    sparse.wide.data(), expected_dense.data(),
                                    expected_sparse.data());
      for (Isa isa : UsableIsas()) {
        std::vector<Bfloat16> got_dense(expected_dense.size() + 1, {kUntouched});
        std::vector<Bfloat16> got_sparse(expected_sparse.size() + 1, {kUntouched});
        DotInteractionBackward<Bfloat16>(shape, 2, grad.narrow.data(),
                                         dense.narrow.data(), sparse.narrow.data(),
                                         got_dense.data(), got_sparse.data(), isa);
        ExpectRounded(got_dense, expected_dense, shape.num_vectors(), dim);
        ExpectRounded(got_sparse, expected_sparse, shape.num_vectors(), dim);
      }
    }
  }
}

}  // namespace
}  // namespace stepwell::kernels
