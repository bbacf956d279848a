#include <benchmark/benchmark.h>

#include <cstdint>
#include <random>
#include <vector>

#include "cc/kernels/interaction/cross_network.h"
#include "cc/kernels/simd/isa.h"

// Arguments: samples, width, rank, layers. GFLOP/s count a multiply-add as two.
namespace stepwell::kernels {
namespace {

std::vector<float> RandomFloats(int64_t count, float scale) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0.0f, scale);
  std::vector<float> floats(count);
  for (float& x : floats) x = normal(random);
  return floats;
}

void RunCrossNetwork(benchmark::State& state, Isa isa) {
  const int64_t samples = state.range(0);
  const CrossNetworkShape shape = {state.range(3), state.range(1), state.range(2)};
  const int64_t size = shape.num_layers * shape.width * shape.rank;
  const std::vector<float> x = RandomFloats(samples * shape.width, 1.0f);
  const std::vector<float> down = RandomFloats(size, 1e-3f);
  const std::vector<float> up = RandomFloats(size, 0.1f);
  const std::vector<float> bias = RandomFloats(shape.num_layers * shape.width, 0.1f);
  std::vector<float> output(samples * shape.width);
  for (auto _ : state) {
    CrossNetworkForward(shape, samples, x.data(), down.data(), up.data(), bias.data(),
                        output.data(), isa);
    benchmark::DoNotOptimize(output.data());
  }
  const double flops = 4e-9 * static_cast<double>(size * samples);
  state.counters["GFLOP/s"] =
      benchmark::Counter(flops, benchmark::Counter::kIsIterationInvariantRate);
}

[[maybe_unused]] const bool kRegistered = [] {
  const char* names[] = {"BM_CrossNetwork/baseline", "BM_CrossNetwork/avx2",
                         "BM_CrossNetwork/avx512"};
  for (Isa isa : UsableIsas()) {
    benchmark::RegisterBenchmark(names[static_cast<int>(isa)], RunCrossNetwork, isa)
        ->Args({800, 32, 16, 3})
        ->Args({1, 1728, 64, 3})
        ->Args({256, 1728, 64, 3})
        ->Args({256, 1728, 256, 3});
  }
  return true;
}();

}  // namespace
}  // namespace stepwell::kernels
