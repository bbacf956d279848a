#include "cc/kernels/interaction/cross_network.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <vector>

#include "cc/kernels/simd/isa.h"

namespace stepwell::kernels {
namespace {

std::vector<float> RandomFloats(int64_t count, float scale, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, scale);
  std::vector<float> floats(count);
  for (float& x : floats) x = normal(random);
  return floats;
}

struct Network {
  CrossNetworkShape shape;
  std::vector<float> down, up, bias;
};

Network RandomNetwork(int64_t num_layers, int64_t width, int64_t rank) {
  const int64_t size = num_layers * width * rank;
  return {{num_layers, width, rank},
          RandomFloats(size, 0.3f / static_cast<float>(width), 1),
          RandomFloats(size, 0.3f, 2),
          RandomFloats(num_layers * width, 0.1f, 3)};
}

// The formula, in float64, one sample.
std::vector<double> Reference(const Network& network, const float* x) {
  const auto [num_layers, width, rank] = network.shape;
  std::vector<double> now(x, x + width);
  for (int64_t l = 0; l < num_layers; ++l) {
    std::vector<double> hidden(rank, 0.0);
    for (int64_t r = 0; r < rank; ++r) {
      for (int64_t w = 0; w < width; ++w) {
        hidden[r] += now[w] * network.down[(l * width + w) * rank + r];
      }
    }
    for (int64_t w = 0; w < width; ++w) {
      double sum = network.bias[l * width + w];
      for (int64_t r = 0; r < rank; ++r) {
        sum += hidden[r] * network.up[(l * rank + r) * width + w];
      }
      now[w] += x[w] * sum;
    }
  }
  return now;
}

std::vector<float> Forward(const Network& network, int64_t num_samples,
                           const std::vector<float>& x, Isa isa) {
  // One more float than is written: nothing may go past the end.
  std::vector<float> output(num_samples * network.shape.width + 1, 1e9f);
  CrossNetworkForward(network.shape, num_samples, x.data(), network.down.data(),
                      network.up.data(), network.bias.data(), output.data(), isa);
  EXPECT_EQ(output.back(), 1e9f);
  output.pop_back();
  return output;
}

void ExpectReference(const Network& network, int64_t num_samples) {
  const int64_t width = network.shape.width;
  const std::vector<float> x = RandomFloats(num_samples * width, 1.0f, 4);
  for (Isa isa : UsableIsas()) {
    const std::vector<float> got = Forward(network, num_samples, x, isa);
    for (int64_t s = 0; s < num_samples; ++s) {
      const std::vector<double> expected = Reference(network, x.data() + s * width);
      for (int64_t w = 0; w < width; ++w) {
        ASSERT_NEAR(got[s * width + w], expected[w], 1e-4)
            << "W " << width << " R " << network.shape.rank << " sample " << s;
      }
    }
  }
}

TEST(CrossNetworkTest, IsTheFormulaAtEverySize) {
  for (int64_t width : {1, 3, 15, 16, 17, 31, 48, 64, 65, 100, 129, 200}) {
    for (int64_t rank : {1, 4, 15, 16, 33, 64, 67}) {
      ExpectReference(RandomNetwork(2, width, rank), 10);
    }
  }
}

TEST(CrossNetworkTest, AnyNumberOfSamplesAndLayers) {
  for (int64_t num_samples : {0, 1, 2, 3, 5, 6, 7, 11, 13}) {
    for (int64_t num_layers : {0, 1, 3}) {
      ExpectReference(RandomNetwork(num_layers, 37, 5), num_samples);
    }
  }
}

TEST(CrossNetworkTest, WithoutRankTheBiasStillCrosses) {
  ExpectReference(RandomNetwork(2, 19, 0), 4);
}

TEST(CrossNetworkTest, WithoutWidthNothingIsWritten) {
  ExpectReference(RandomNetwork(2, 0, 3), 4);
}

TEST(CrossNetworkTest, ASampleGivesTheSameBitsInAnyBlock) {
  const Network network = RandomNetwork(3, 700, 24);
  const std::vector<float> x = RandomFloats(250 * 700, 1.0f, 5);
  for (Isa isa : UsableIsas()) {
    const std::vector<float> together = Forward(network, 250, x, isa);
    for (int64_t sample : {0, 1, 91, 249}) {
      const auto begin = sample * 700;
      const std::vector<float> own(x.begin() + begin, x.begin() + begin + 700);
      EXPECT_EQ(
          Forward(network, 1, own, isa),
          std::vector<float>(together.begin() + begin, together.begin() + begin + 700));
    }
  }
}

}  // namespace
}  // namespace stepwell::kernels
