#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <random>
#include <vector>

#include "cc/kernels/simd/isa.h"
#include "cc/kernels/topk/topk.h"

// K best of N normal scores: each instruction set beside std::partial_sort of
// positions. Arguments: N, K. Scores rotate among 8 sets, so that no branch learns
// them.
namespace stepwell::kernels {
namespace {

constexpr int64_t kNumSets = 8;

std::vector<std::vector<float>> ScoreSets(int64_t size) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<std::vector<float>> sets(kNumSets, std::vector<float>(size));
  for (std::vector<float>& set : sets) {
    for (float& score : set) score = normal(random);
  }
  return sets;
}

void RunTopK(benchmark::State& state, Isa isa) {
  const int64_t size = state.range(0);
  const int64_t k = state.range(1);
  const std::vector<std::vector<float>> sets = ScoreSets(size);
  std::vector<int64_t> ids(size);
  std::iota(ids.begin(), ids.end(), int64_t{0});
  std::vector<float> best_scores(k);
  std::vector<int64_t> best_ids(k);
  int64_t turn = 0;
  for (auto _ : state) {
    const std::vector<float>& scores = sets[turn++ % kNumSets];
    TopKScores(scores.data(), ids.data(), size, k, best_scores.data(), best_ids.data(),
               isa);
    benchmark::DoNotOptimize(best_ids.data());
  }
}

void BM_PartialSort(benchmark::State& state) {
  const int64_t size = state.range(0);
  const std::vector<std::vector<float>> sets = ScoreSets(size);
  std::vector<int64_t> order(size);
  int64_t turn = 0;
  for (auto _ : state) {
    const std::vector<float>& scores = sets[turn++ % kNumSets];
    std::iota(order.begin(), order.end(), int64_t{0});
    std::partial_sort(order.begin(), order.begin() + state.range(1), order.end(),
                      [&](int64_t a, int64_t b) {
                        return scores[a] != scores[b] ? scores[a] > scores[b] : a < b;
                      });
    benchmark::DoNotOptimize(order.data());
  }
}
BENCHMARK(BM_PartialSort)->Args({800, 100})->Args({100'000, 500});

[[maybe_unused]] const bool kRegistered = [] {
  const char* names[] = {"BM_TopK/baseline", "BM_TopK/avx2", "BM_TopK/avx512"};
  for (Isa isa : UsableIsas()) {
    benchmark::RegisterBenchmark(names[static_cast<int>(isa)], RunTopK, isa)
        ->Args({800, 100})
        ->Args({800, 800})
        ->Args({26'673, 500})
        ->Args({100'000, 500});
  }
  return true;
}();

}  // namespace
}  // namespace stepwell::kernels
