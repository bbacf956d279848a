#include "cc/kernels/interaction/cross_network_backward.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "cc/kernels/simd/isa.h"

namespace stepwell::kernels {
namespace {

using Doubles = std::vector<double>;

std::vector<float> RandomFloats(int64_t count, float scale, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, scale);
  std::vector<float> floats(count);
  for (float& x : floats) x = normal(random);
  return floats;
}

struct Problem {
  CrossNetworkShape shape;
  int64_t batch;
  std::vector<float> grad, x, down, up, bias;

  Problem(int64_t layers, int64_t width, int64_t rank, int64_t samples)
      : shape{layers, width, rank},
        batch(samples),
        grad(RandomFloats(samples * width, 1.0f, 1)),
        x(RandomFloats(samples * width, 1.0f, 2)),
        down(RandomFloats(layers * width * rank, 0.3f / static_cast<float>(width), 3)),
        up(RandomFloats(layers * rank * width, 0.3f, 4)),
        bias(RandomFloats(layers * width, 0.1f, 5)) {}

  int64_t Down(int64_t l, int64_t w, int64_t r) const {
    return (l * shape.width + w) * shape.rank + r;
  }
  int64_t Up(int64_t l, int64_t r, int64_t w) const {
    return (l * shape.rank + r) * shape.width + w;
  }
};

struct Gradients {
  Doubles x, down, up, bias;
};

// One sample by the chain rule, in float64; adds to the gradients of the weights.
void AddSample(const Problem& problem, int64_t sample, Gradients& to) {
  const auto [layers, width, rank] = problem.shape;
  const float* x = problem.x.data() + sample * width;
  std::vector<Doubles> inputs{Doubles(x, x + width)}, hidden, crossed;
  for (int64_t l = 0; l < layers; ++l) {
    Doubles h(rank, 0.0), v(width), next(width);
    for (int64_t r = 0; r < rank; ++r) {
      for (int64_t w = 0; w < width; ++w) {
        h[r] += inputs[l][w] * problem.down[problem.Down(l, w, r)];
      }
    }
    for (int64_t w = 0; w < width; ++w) {
      v[w] = problem.bias[l * width + w];
      for (int64_t r = 0; r < rank; ++r) v[w] += h[r] * problem.up[problem.Up(l, r, w)];
      next[w] = inputs[l][w] + x[w] * v[w];
    }
    hidden.push_back(h);
    crossed.push_back(v);
    inputs.push_back(next);
  }
  const float* grad = problem.grad.data() + sample * width;
  Doubles along(grad, grad + width);
  double* x_grad = to.x.data() + sample * width;
  for (int64_t l = layers - 1; l >= 0; --l) {
    Doubles at_crossed(width), at_hidden(rank, 0.0);
    for (int64_t w = 0; w < width; ++w) {
      at_crossed[w] = along[w] * x[w];
      x_grad[w] += along[w] * crossed[l][w];
      to.bias[l * width + w] += at_crossed[w];
      for (int64_t r = 0; r < rank; ++r) {
        to.up[problem.Up(l, r, w)] += hidden[l][r] * at_crossed[w];
        at_hidden[r] += at_crossed[w] * problem.up[problem.Up(l, r, w)];
      }
    }
    for (int64_t w = 0; w < width; ++w) {
      for (int64_t r = 0; r < rank; ++r) {
        to.down[problem.Down(l, w, r)] += inputs[l][w] * at_hidden[r];
        along[w] += at_hidden[r] * problem.down[problem.Down(l, w, r)];
      }
    }
  }
  for (int64_t w = 0; w < width; ++w) x_grad[w] += along[w];
}

Gradients Reference(const Problem& problem) {
  Gradients gradients{Doubles(problem.x.size()), Doubles(problem.down.size()),
                      Doubles(problem.up.size()), Doubles(problem.bias.size())};
  for (int64_t s = 0; s < problem.batch; ++s) AddSample(problem, s, gradients);
  return gradients;
}

// Runs the samples in two parts and the weights in stripes, as threads would.
Gradients Backward(const Problem& problem, Isa isa) {
  const auto [layers, width, rank] = problem.shape;
  const int64_t batch = problem.batch;
  std::vector<float> down_t(problem.down.size()), up_t(problem.up.size());
  for (int64_t l = 0; l < layers; ++l) {
    for (int64_t w = 0; w < width; ++w) {
      for (int64_t r = 0; r < rank; ++r) {
        down_t[problem.Up(l, r, w)] = problem.down[problem.Down(l, w, r)];
        up_t[problem.Down(l, w, r)] = problem.up[problem.Up(l, r, w)];
      }
    }
  }
  std::vector<float> inputs(layers * batch * width),
      crossed_grad(layers * batch * width);
  std::vector<float> hidden(layers * batch * rank), hidden_grad(layers * batch * rank);
  // What is not written stays wrong.
  std::vector<float> x_grad(problem.x.size(), 1e9f), bias_grad(layers * width, 1e9f);
  std::vector<float> down_grad_t(down_t.size(), 1e9f), up_grad(up_t.size(), 1e9f);
  const CrossNetworkBackward pass = {problem.shape,       batch,
                                     problem.grad.data(), problem.x.data(),
                                     problem.down.data(), problem.up.data(),
                                     problem.bias.data(), down_t.data(),
                                     up_t.data(),         inputs.data(),
                                     hidden.data(),       crossed_grad.data(),
                                     hidden_grad.data(),  x_grad.data(),
                                     down_grad_t.data(),  up_grad.data(),
                                     bias_grad.data()};
  CrossNetworkBackwardSamples(pass, 0, batch / 2, isa);
  CrossNetworkBackwardSamples(pass, batch / 2, batch, isa);
  for (int64_t l = 0; l < layers; ++l) {
    CrossNetworkBackwardWeights(pass, l, 0, width / 2, isa);
    CrossNetworkBackwardWeights(pass, l, width / 2, width, isa);
  }
  Gradients got{Doubles(x_grad.begin(), x_grad.end()), Doubles(problem.down.size()),
                Doubles(up_grad.begin(), up_grad.end()),
                Doubles(bias_grad.begin(), bias_grad.end())};
  for (int64_t l = 0; l < layers; ++l) {
    for (int64_t w = 0; w < width; ++w) {
      for (int64_t r = 0; r < rank; ++r) {
        got.down[problem.Down(l, w, r)] = down_grad_t[problem.Up(l, r, w)];
      }
    }
  }
  return got;
}

// To float32 rounding of the largest: the sums are long and their terms cancel.
void ExpectNear(const Doubles& got, const Doubles& expected, const char* what) {
  ASSERT_EQ(got.size(), expected.size());
  double largest = 0.0;
  for (double gradient : expected) largest = std::max(largest, std::abs(gradient));
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_NEAR(got[i], expected[i], 1e-5 * (1.0 + largest))
        << what << " element " << i;
  }
}

void ExpectReference(const Problem& problem) {
  SCOPED_TRACE(testing::Message()
               << "L " << problem.shape.num_layers << " W " << problem.shape.width
               << " R " << problem.shape.rank << " B " << problem.batch);
  const Gradients expected = Reference(problem);
  for (Isa isa : UsableIsas()) {
    const Gradients got = Backward(problem, isa);
    ExpectNear(got.x, expected.x, "x");
    ExpectNear(got.down, expected.down, "down");
    ExpectNear(got.up, expected.up, "up");
    ExpectNear(got.bias, expected.bias, "bias");
  }
}

TEST(CrossNetworkBackwardTest, IsTheDerivativeAtEverySize) {
  for (int64_t width : {1, 3, 16, 17, 40, 64, 65, 130}) {
    for (int64_t rank : {0, 1, 5, 16, 33}) {
      ExpectReference(Problem(2, width, rank, 7));
    }
  }
}

TEST(CrossNetworkBackwardTest, AnyNumberOfSamplesAndLayers) {
  for (int64_t samples : {0, 1, 2, 6, 13, 150}) {
    for (int64_t layers : {0, 1, 3}) ExpectReference(Problem(layers, 35, 6, samples));
  }
}

TEST(CrossNetworkBackwardTest, MoreSamplesThanOneBlockHolds) {
  ExpectReference(Problem(2, 2'000, 3, 75));
}

}  // namespace
}  // namespace stepwell::kernels
