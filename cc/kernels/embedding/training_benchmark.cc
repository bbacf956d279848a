#include <benchmark/benchmark.h>

#include <cstdint>
#include <numeric>
#include <random>
#include <vector>

#include "cc/kernels/embedding/entry_backward.h"
#include "cc/kernels/embedding/row_wise_adagrad.h"
#include "cc/kernels/simd/isa.h"

// What trains tables, on each instruction set: 256 bags of 20 entries in a table of
// range(0) rows of range(1) floats. Row numbers rotate among 8 sets, so that no row
// stays in the cache from one step to the next.
namespace stepwell::kernels {
namespace {

constexpr int64_t kBatch = 256;
constexpr int64_t kLength = 20;
constexpr int64_t kNumEntries = kBatch * kLength;
constexpr int64_t kNumSets = 8;

std::vector<std::vector<RowEntry>> EntrySets(int64_t num_rows) {
  std::mt19937_64 random(1);
  std::vector<std::vector<RowEntry>> sets(kNumSets);
  for (std::vector<RowEntry>& entries : sets) {
    for (int64_t position = 0; position < kNumEntries; ++position) {
      entries.push_back({static_cast<int64_t>(random() % num_rows), position});
    }
  }
  return sets;
}

void BM_SortByRow(benchmark::State& state) {
  const std::vector<std::vector<RowEntry>> sets = EntrySets(state.range(0));
  int64_t turn = 0;
  for (auto _ : state) {
    std::vector<RowEntry> entries = sets[turn++ % kNumSets];
    SortByRow(entries);
    benchmark::DoNotOptimize(entries.data());
  }
  state.SetItemsProcessed(state.iterations() * kNumEntries);
}

void RunAdagrad(benchmark::State& state, Isa isa) {
  const int64_t num_rows = state.range(0);
  const int64_t dim = state.range(1);
  std::vector<std::vector<RowEntry>> sets = EntrySets(num_rows);
  for (std::vector<RowEntry>& entries : sets) SortByRow(entries);
  std::vector<float> rows(num_rows * dim, 1.0f);
  std::vector<float> moments(num_rows, 0.0f);
  const std::vector<float> grads(kNumEntries * dim, 0.5f);
  std::vector<float> scratch(dim);
  const AdagradTable table = {rows.data(), moments.data(), grads.data(),
                              dim,         0.01f,          1e-8f};
  int64_t turn = 0;
  for (auto _ : state) {
    RowWiseAdagrad(table, sets[turn++ % kNumSets], 0, kNumEntries, scratch.data(), isa);
    benchmark::DoNotOptimize(rows.data());
  }
  state.SetItemsProcessed(state.iterations() * kNumEntries);
}

void RunEntryBackward(benchmark::State& state, Isa isa) {
  const int64_t dim = state.range(1);
  std::vector<int64_t> offsets(kBatch + 1);
  for (int64_t bag = 0; bag <= kBatch; ++bag) offsets[bag] = bag * kLength;
  const std::vector<float> grad(kBatch * dim, 0.5f);
  std::vector<float> entry_grads(kNumEntries * dim);
  const EntryBags<int64_t> bags = {
      offsets.data(), kBatch, nullptr, grad.data(), dim, dim, true};
  for (auto _ : state) {
    EntryBackward(bags, 0, kBatch, entry_grads.data(), isa);
    benchmark::DoNotOptimize(entry_grads.data());
  }
  state.SetBytesProcessed(state.iterations() * kNumEntries * dim * 4);
}

void Sizes(benchmark::internal::Benchmark* benchmark) {
  benchmark->Args({100'000, 64})->Args({1'000'000, 128});
}

BENCHMARK(BM_SortByRow)->Apply(Sizes);
BENCHMARK_CAPTURE(RunAdagrad, baseline, Isa::kBaseline)->Apply(Sizes);
BENCHMARK_CAPTURE(RunAdagrad, best, BestIsa())->Apply(Sizes);
BENCHMARK_CAPTURE(RunEntryBackward, baseline, Isa::kBaseline)->Apply(Sizes);
BENCHMARK_CAPTURE(RunEntryBackward, best, BestIsa())->Apply(Sizes);

}  // namespace
}  // namespace stepwell::kernels
