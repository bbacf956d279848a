#include <algorithm>
#include <cmath>
#include <numeric>

#include "cc/kernels/candidates/co_occurrence.h"
#include "cc/kernels/candidates/row_sums.h"
#include "cc/kernels/topk/topk.h"

namespace stepwell::kernels {
namespace {

constexpr int64_t kBlockItems = 1024;
constexpr int64_t kRowsAhead = 4;
constexpr int64_t kCacheLineBytes = 64;

// What bounds a block of scores: as in CoOccurrence, from the block's first item on.
struct BoundTask {
  int64_t count;
  const double* sums;
  const float* products;
  const float* errors;
  const int32_t* categories;  // null for none
  const float* category_factors;
  const float* lifts;
  float* lowest;
  float* highest;
};

// Of what a score is made of: what its few operations round, several times over.
constexpr float kRounding = 0x1p-21f;

}  // namespace
}  // namespace stepwell::kernels

#define STEPWELL_KERNEL_BODY "cc/kernels/candidates/co_occurrence_body.h"
#include "cc/kernels/simd/per_isa.h"

namespace stepwell::kernels {
namespace {

struct WeightedRows {
  const int64_t* rows;
  const float* weights;
  int64_t size;
};

void Prefetch(const void* memory, int64_t bytes) {
  for (int64_t at = 0; at < bytes; at += kCacheLineBytes) {
    __builtin_prefetch(static_cast<const char*>(memory) + at);
  }
}

// Adds h R to scratch.sums, which has one place more than items: for the pads.
void AddNeighbours(const CoOccurrence& model, const WeightedRows& history,
                   std::vector<double>& sums) {
  const int64_t k = model.num_neighbours;
  for (int64_t i = 0; i < history.size; ++i) {
    const int64_t ahead = i + kRowsAhead;
    if (ahead < history.size && history.rows[ahead] >= 0) {
      Prefetch(model.neighbour_rows + history.rows[ahead] * k, k * 4);
      Prefetch(model.neighbour_weights + history.rows[ahead] * k, k * 4);
    }
    if (history.rows[i] < 0) continue;
    const int32_t* near = model.neighbour_rows + history.rows[i] * k;
    const float* spread = model.neighbour_weights + history.rows[i] * k;
    for (int64_t j = 0; j < k; ++j) {
      const int64_t to = near[j] < 0 ? model.num_items : near[j];
      sums[static_cast<size_t>(to)] += spread[j] * history.weights[i];
    }
  }
  sums[static_cast<size_t>(model.num_items)] = 0.0;
}

// Fills scratch.category_factors with (share + floor)^power. Few categories are bought
// in: the others share one power.
void SetCategoryFactors(const CoOccurrence& model, const WeightedRows& history,
                        CoOccurrenceScratch& scratch) {
  // By category mass first, of the history's items alone.
  std::vector<double>& mass = scratch.sums;  // zeros, and not in use yet
  double total = 0.0;
  for (int64_t i = 0; i < history.size; ++i) {
    if (history.rows[i] < 0) continue;
    mass[static_cast<size_t>(model.categories[history.rows[i]])] += history.weights[i];
    total += history.weights[i];
  }
  total = std::max(total, 1e-9);
  const auto factor = [&](double share) {
    return static_cast<float>(
        std::pow(share + model.category_floor, model.category_power));
  };
  scratch.category_factors.assign(static_cast<size_t>(model.num_categories),
                                  factor(0.0));
  for (int64_t i = 0; i < history.size; ++i) {
    if (history.rows[i] < 0) continue;
    const auto category = static_cast<size_t>(model.categories[history.rows[i]]);
    if (mass[category] == 0.0) continue;  // done already, or without weight
    scratch.category_factors[category] = factor(mass[category] / total);
    mass[category] = 0.0;
  }
}

// Prepares what scores are made of: scratch.sums, .pooled, .category_factors.
void Prepare(const CoOccurrence& model, const WeightedRows& history,
             CoOccurrenceScratch& scratch, Isa isa) {
  const int64_t places = std::max(model.num_items + 1, model.num_categories);
  if (static_cast<int64_t>(scratch.sums.size()) < places) {
    scratch.sums.assign(static_cast<size_t>(places), 0.0);
  }
  if (model.categories != nullptr) SetCategoryFactors(model, history, scratch);
  scratch.pooled.resize(static_cast<size_t>(model.dim));
  PoolRows(model.input_vectors, model.dim, history.rows, history.weights, history.size,
           scratch.pooled.data(), isa);
  AddNeighbours(model, history, scratch.sums);
}

void ClearSums(const CoOccurrence& model, CoOccurrenceScratch& scratch) {
  std::fill_n(scratch.sums.begin(), model.num_items, 0.0);
}

float Factor(const CoOccurrence& model, const CoOccurrenceScratch& scratch,
             int64_t item) {
  if (model.categories == nullptr) return 1.0f;
  const auto category = static_cast<size_t>(model.categories[item]);
  return scratch.category_factors[category] * model.lifts[item];
}

float Score(const CoOccurrence& model, const CoOccurrenceScratch& scratch, int64_t item,
            float product) {
  const auto sum = static_cast<float>(scratch.sums[static_cast<size_t>(item)]);
  return (sum + product) * Factor(model, scratch, item);
}

// Writes what the scores of the items [first, first + count) are at least and at most,
// going by the codes of their vectors.
void BoundScores(const CoOccurrence& model, int64_t first, int64_t count,
                 CoOccurrenceScratch& scratch, Isa isa) {
  float products[kBlockItems], errors[kBlockItems];
  model.coded_vectors->Products(scratch.query, first, count, products, errors, isa);
  const bool is_lifted = model.categories != nullptr;
  const BoundTask task{.count = count,
                       .sums = scratch.sums.data() + first,
                       .products = products,
                       .errors = errors,
                       .categories = is_lifted ? model.categories + first : nullptr,
                       .category_factors = scratch.category_factors.data(),
                       .lifts = is_lifted ? model.lifts + first : nullptr,
                       .lowest = scratch.lowest.data() + first,
                       .highest = scratch.highest.data() + first};
  switch (isa) {
    case Isa::kAvx512:
      return avx512::BoundBlock(task);
    case Isa::kAvx2:
      return avx2::BoundBlock(task);
    case Isa::kBaseline:
      break;
  }
  baseline::BoundBlock(task);
}

// Leaves in scratch.found the items whose score may be among the best `kept`.
void FindPossible(const CoOccurrence& model, int64_t kept, CoOccurrenceScratch& scratch,
                  int64_t* best_rows, float* best_scores, Isa isa) {
  const auto size = static_cast<size_t>(model.num_items);
  scratch.lowest.resize(size);
  scratch.highest.resize(size);
  scratch.found.clear();
  model.coded_vectors->SetQuery(scratch.pooled.data(), scratch.query);
  for (int64_t first = 0; first < model.num_items; first += kBlockItems) {
    const int64_t count = std::min(kBlockItems, model.num_items - first);
    BoundScores(model, first, count, scratch, isa);
  }
  // As many have at least this score: what cannot reach it is not among the best.
  TopKScores(scratch.lowest.data(), scratch.item_rows.data(), model.num_items, kept,
             best_scores, best_rows, isa);
  const float least = best_scores[kept - 1];
  for (int64_t item = 0; item < model.num_items; ++item) {
    const float highest = scratch.highest[static_cast<size_t>(item)];
    if (highest >= least && highest > 0.0f) scratch.found.push_back(item);
  }
}

void SetItemRows(const CoOccurrence& model, CoOccurrenceScratch& scratch) {
  const auto size = static_cast<size_t>(model.num_items);
  if (scratch.item_rows.size() == size) return;
  scratch.item_rows.resize(size);
  std::iota(scratch.item_rows.begin(), scratch.item_rows.end(), int64_t{0});
}

}  // namespace

void CoOccurrenceScores(const CoOccurrence& model, const int64_t* rows,
                        const float* weights, int64_t num_rows,
                        CoOccurrenceScratch& scratch, float* scores, Isa isa) {
  Prepare(model, {rows, weights, num_rows}, scratch, isa);
  InnerProducts(model.output_vectors, model.num_items, model.dim, scratch.pooled.data(),
                scores, isa);
  for (int64_t item = 0; item < model.num_items; ++item) {
    scores[item] = Score(model, scratch, item, scores[item]);
  }
  ClearSums(model, scratch);
}

int64_t BestCoOccurring(const CoOccurrence& model, const int64_t* rows,
                        const float* weights, int64_t num_rows, int64_t limit,
                        CoOccurrenceScratch& scratch, int64_t* best_rows,
                        float* best_scores, Isa isa) {
  SetItemRows(model, scratch);
  const int64_t kept = std::min(limit, model.num_items);
  if (kept <= 0) return 0;
  const bool looks_twice = model.coded_vectors != nullptr;
  if (looks_twice) {
    Prepare(model, {rows, weights, num_rows}, scratch, isa);
    FindPossible(model, kept, scratch, best_rows, best_scores, isa);
    scratch.scores.resize(scratch.found.size());
    float* scores = scratch.scores.data();
    InnerProductsOfRows(model.output_vectors, model.dim, scratch.found.data(),
                        static_cast<int64_t>(scratch.found.size()),
                        scratch.pooled.data(), scores, isa);
    for (size_t i = 0; i < scratch.found.size(); ++i) {
      scores[i] = Score(model, scratch, scratch.found[i], scores[i]);
    }
    ClearSums(model, scratch);
  } else {
    scratch.scores.resize(static_cast<size_t>(model.num_items));
    CoOccurrenceScores(model, rows, weights, num_rows, scratch, scratch.scores.data(),
                       isa);
  }
  const std::vector<int64_t>& items = looks_twice ? scratch.found : scratch.item_rows;
  const auto num_scores = static_cast<int64_t>(scratch.scores.size());
  TopKScores(scratch.scores.data(), items.data(), num_scores, kept, best_scores,
             best_rows, isa);
  // Best first: the positive ones stand at the front.
  const float* end = best_scores + std::min(kept, num_scores);
  return std::find_if(static_cast<const float*>(best_scores), end,
                      [](float score) { return !(score > 0.0f); }) -
         best_scores;
}

}  // namespace stepwell::kernels
