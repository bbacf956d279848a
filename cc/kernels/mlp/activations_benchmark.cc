#include <benchmark/benchmark.h>

#include <cstdint>
#include <vector>

#include "cc/kernels/mlp/activations.h"
#include "cc/kernels/simd/isa.h"

// What stands between two int8 layers. Arguments: rows, width.
namespace stepwell::kernels {
namespace {

void RunQuantize(benchmark::State& state, Isa isa) {
  const int64_t num_rows = state.range(0);
  const int64_t width = state.range(1);
  const std::vector<float> values(num_rows * width, 0.5f);
  const std::vector<float> bias(width, 0.25f);
  std::vector<uint8_t> codes(num_rows * width);
  std::vector<float> scales(num_rows);
  for (auto _ : state) {
    QuantizeActivations({values.data(), false, width, nullptr, bias.data(), true},
                        num_rows, codes.data(), scales.data(), isa);
    benchmark::DoNotOptimize(codes.data());
  }
  state.SetItemsProcessed(state.iterations() * num_rows * width);
}

[[maybe_unused]] const bool kRegistered = [] {
  const char* names[] = {"BM_Quantize/baseline", "BM_Quantize/avx2",
                         "BM_Quantize/avx512"};
  for (Isa isa : UsableIsas()) {
    benchmark::RegisterBenchmark(names[static_cast<int>(isa)], RunQuantize, isa)
        ->Args({256, 512})
        ->Args({800, 512});
  }
  return true;
}();

}  // namespace
}  // namespace stepwell::kernels
