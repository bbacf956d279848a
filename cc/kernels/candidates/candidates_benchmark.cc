// What one request asks of these kernels: 26,673 items of 64 dimensions, a history of
// 250, five lists of 1,500 rows in all, 500 candidates.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <random>
#include <vector>

#include "cc/kernels/candidates/best_first.h"
#include "cc/kernels/candidates/candidate_features.h"
#include "cc/kernels/candidates/co_occurrence.h"
#include "cc/kernels/candidates/coded_vectors.h"
#include "cc/kernels/candidates/decayed_columns.h"
#include "cc/kernels/candidates/item_lines.h"
#include "cc/kernels/candidates/rank_fusion.h"

namespace stepwell::kernels {
namespace {

constexpr int64_t kItems = 26'673;
constexpr int64_t kHistory = 250;
constexpr int64_t kCandidates = 500;
constexpr int64_t kNumbers = 14;
constexpr int64_t kSources = 5;

std::vector<float> Normals(int64_t size) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<size_t>(size));
  for (float& value : values) value = normal(random);
  return values;
}

template <typename T>
std::vector<T> Below(int64_t size, int64_t limit, int seed) {
  std::mt19937 random(seed);
  std::vector<T> values(static_cast<size_t>(size));
  for (T& value : values) value = static_cast<T>(random() % limit);
  return values;
}

std::vector<int64_t> SomeItems(int64_t size, int seed) {
  std::vector<int64_t> items(kItems);
  std::iota(items.begin(), items.end(), int64_t{0});
  std::shuffle(items.begin(), items.end(), std::mt19937(seed));
  items.resize(static_cast<size_t>(size));
  return items;
}

// Arguments: the limit, and whether there are codes for a first look.
void BM_BestCoOccurring(benchmark::State& state) {
  constexpr int64_t kDim = 64, kNeighbours = 64;
  const std::vector<float> vectors = Normals(kItems * kDim);
  const std::vector<float> spread = Normals(kItems * kNeighbours);
  const auto near = Below<int32_t>(kItems * kNeighbours, kItems, 1);
  const auto categories = Below<int32_t>(kItems, 2'244, 2);
  const CodedVectors codes(vectors.data(), kItems, kDim);
  const std::vector<float> ones(kItems, 1.0f);
  const CoOccurrence model{.num_items = kItems,
                           .dim = kDim,
                           .input_vectors = vectors.data(),
                           .output_vectors = vectors.data(),
                           .coded_vectors = state.range(1) ? &codes : nullptr,
                           .num_neighbours = kNeighbours,
                           .neighbour_rows = near.data(),
                           .neighbour_weights = spread.data(),
                           .categories = categories.data(),
                           .lifts = ones.data(),
                           .num_categories = 2'244,
                           .category_floor = 1e-4,
                           .category_power = 0.4};
  const std::vector<int64_t> rows = SomeItems(kHistory, 3);
  CoOccurrenceScratch scratch;
  std::vector<int64_t> best_rows(state.range(0));
  std::vector<float> best_scores(state.range(0));
  for (auto _ : state) {
    benchmark::DoNotOptimize(BestCoOccurring(model, rows.data(), ones.data(), kHistory,
                                             state.range(0), scratch, best_rows.data(),
                                             best_scores.data()));
  }
}
BENCHMARK(BM_BestCoOccurring)->ArgsProduct({{120, 900}, {0, 1}});

void BM_FuseRanks(benchmark::State& state) {
  const int64_t sizes[kSources] = {250, 700, 400, 50, 100};
  std::vector<std::vector<int64_t>> rows;
  std::vector<FusedList> lists;
  const std::vector<float> scores = Normals(kItems);
  for (int list = 0; list < kSources; ++list) {
    rows.push_back(SomeItems(sizes[list], list));
    lists.push_back({rows.back().data(), scores.data(), sizes[list], 1.0, 20});
  }
  std::vector<int64_t> kept(kCandidates);
  std::vector<float> kept_scores(kCandidates * kSources);
  std::vector<int16_t> ranks(kCandidates * kSources);
  const FusionLimits limits{.rank_offset = 100.0, .num_kept = kCandidates};
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        FuseRanks(lists.data(), kSources, limits,
                  {kept.data(), kept_scores.data(), ranks.data()}));
  }
}
BENCHMARK(BM_FuseRanks);

// A row of numbers as of the times of two kinds of events: so many columns of it.
DecayedColumns StoredNumbers(int64_t size) {
  constexpr int64_t kRowBytes = 40, kTimes = 24, kHalfLives = 3;
  std::vector<DecayedColumn> columns;
  for (int64_t i = 0; i < size; ++i) {
    columns.push_back(
        {.value_offset = i % 6 * 4,
         .time_offset = kTimes + i / kHalfLives % 2 * 8,
         .half_life_seconds = 3'600.0f * static_cast<float>(i % kHalfLives + 1)});
  }
  return {columns, kRowBytes};
}

// Arguments: flags of missing views, numbers of the user's row, of the item's row.
void BM_ComputeFeatures(benchmark::State& state) {
  constexpr int64_t kNow = 1'500'000'000, kYear = 365 * 86'400;
  std::vector<float> numbers = Normals(kItems * kNumbers);
  for (float& number : numbers) number *= number;
  std::vector<int64_t> times = Below<int64_t>(kItems, kYear, 4);
  for (int64_t& time : times) time = kNow - time;
  const auto codes = Below<int32_t>(kItems, 300, 5);
  const ItemLines items({.num_items = kItems,
                         .num_numbers = kNumbers,
                         .numbers = numbers.data(),
                         .price = 11,
                         .interval = 10,
                         .first_seen = times.data(),
                         .last_seen = times.data(),
                         .affinity_codes = {4, codes.data()},
                         .affinity_shares = {4, numbers.data()},
                         .embedded_codes = {3, codes.data()}});
  const auto counts = Below<int32_t>(kHistory, 20, 6);
  const std::vector<int64_t> own = SomeItems(kHistory, 7);
  const FeatureHistory history{.times = {.num_items = kHistory,
                                         .num_purchases = counts.data(),
                                         .first_time = times.data(),
                                         .last_time = times.data()},
                               .decayed_count = numbers.data(),
                               .total_value = numbers.data(),
                               .rows = own.data(),
                               .num_events = 900,
                               .num_trips = 90,
                               .first_event_time = kNow - kYear,
                               .last_event_time = kNow};
  // Half of the candidates are the user's own items.
  std::vector<int64_t> rows = SomeItems(kCandidates, 8);
  std::copy(own.begin(), own.end(), rows.begin());
  const std::vector<float> scores = Normals(kCandidates * kSources);
  const auto ranks = Below<int16_t>(kCandidates * kSources, 900, 9);
  const FeatureCandidates candidates{kCandidates,   rows.data(),  kSources,
                                     scores.data(), ranks.data(), kSources};
  const StoredColumns stored{.num_flags = state.range(0),
                             .user = StoredNumbers(state.range(1)),
                             .item = StoredNumbers(state.range(2))};
  const std::vector<char> bytes(kItems * 40, 1);
  const StoredRows stored_rows{.user = bytes.data(), .items = bytes.data()};
  std::vector<float> dense(kCandidates * NumDenseFeatures(items, stored, kSources));
  std::vector<int64_t> sparse(kCandidates * 4);
  for (auto _ : state) {
    ComputeFeatures({items, {}, stored}, history, kNow, 1, stored_rows, candidates,
                    dense.data(), sparse.data());
    benchmark::ClobberMemory();
  }
}
BENCHMARK(BM_ComputeFeatures)->Args({0, 0, 0})->Args({3, 11, 0})->Args({3, 11, 6});

void BM_OrderBestFirst(benchmark::State& state) {
  const std::vector<int64_t> rows = SomeItems(kCandidates, 10);
  const std::vector<float> scores = Normals(kCandidates);
  std::vector<int64_t> positions(kCandidates);
  for (auto _ : state) {
    OrderBestFirst(scores.data(), rows.data(), kCandidates, kCandidates,
                   positions.data());
    benchmark::ClobberMemory();
  }
}
BENCHMARK(BM_OrderBestFirst);

}  // namespace
}  // namespace stepwell::kernels
