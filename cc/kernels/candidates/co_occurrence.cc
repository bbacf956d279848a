#include "cc/kernels/candidates/co_occurrence.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "cc/kernels/candidates/row_sums.h"
#include "cc/kernels/topk/topk.h"

namespace stepwell::kernels {
namespace {

constexpr int64_t kBlockItems = 1024;
constexpr int64_t kRowsAhead = 4;
constexpr int64_t kCacheLineBytes = 64;

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

// Prepares what a block's scores are made of: scratch.sums, .pooled, .category_factors.
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
  scratch.products.resize(kBlockItems);
  // Last: from here on nothing can fail before the sums are zeros again.
  AddNeighbours(model, history, scratch.sums);
}

// Writes the scores of the items [first, first + count) and leaves zeros in their sums.
void ScoreBlock(const CoOccurrence& model, int64_t first, int64_t count,
                CoOccurrenceScratch& scratch, float* scores, Isa isa) {
  double* sums = scratch.sums.data() + first;
  for (int64_t i = 0; i < count; ++i) scores[i] = static_cast<float>(sums[i]);
  std::fill(sums, sums + count, 0.0);
  if (model.dim > 0) {
    float* products = scratch.products.data();
    InnerProducts(model.output_vectors + first * model.dim, count, model.dim,
                  scratch.pooled.data(), products, isa);
    for (int64_t i = 0; i < count; ++i) scores[i] += products[i];
  }
  if (model.categories == nullptr) return;
  const int32_t* categories = model.categories + first;
  const float* lifts = model.lifts + first;
  for (int64_t i = 0; i < count; ++i) {
    scores[i] *=
        scratch.category_factors[static_cast<size_t>(categories[i])] * lifts[i];
  }
}

}  // namespace

void CoOccurrenceScores(const CoOccurrence& model, const int64_t* rows,
                        const float* weights, int64_t num_rows,
                        CoOccurrenceScratch& scratch, float* scores, Isa isa) {
  Prepare(model, {rows, weights, num_rows}, scratch, isa);
  for (int64_t first = 0; first < model.num_items; first += kBlockItems) {
    const int64_t count = std::min(kBlockItems, model.num_items - first);
    ScoreBlock(model, first, count, scratch, scores + first, isa);
  }
}

int64_t BestCoOccurring(const CoOccurrence& model, const int64_t* rows,
                        const float* weights, int64_t num_rows, int64_t limit,
                        CoOccurrenceScratch& scratch, int64_t* best_rows,
                        float* best_scores, Isa isa) {
  const auto size = static_cast<size_t>(model.num_items);
  scratch.scores.resize(size);
  if (scratch.item_rows.size() != size) {
    scratch.item_rows.resize(size);
    std::iota(scratch.item_rows.begin(), scratch.item_rows.end(), int64_t{0});
  }
  CoOccurrenceScores(model, rows, weights, num_rows, scratch, scratch.scores.data(),
                     isa);
  const int64_t kept = std::min(limit, model.num_items);
  TopKScores(scratch.scores.data(), scratch.item_rows.data(), model.num_items, kept,
             best_scores, best_rows, isa);
  // Best first: the positive ones stand at the front.
  return std::find_if(best_scores, best_scores + kept,
                      [](float score) { return !(score > 0.0f); }) -
         best_scores;
}

}  // namespace stepwell::kernels
