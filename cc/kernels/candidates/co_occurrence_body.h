// Included by co_occurrence_cpu.cc once per instruction set: plain loops, which the
// compiler makes into registers of that set.

inline float Magnitude(float x) { return x < 0.0f ? -x : x; }

// Writes the factors that the block's items have.
inline void LiftBlock(const BoundTask& task, float* __restrict factors) {
  const int32_t* __restrict categories = task.categories;
  const float* __restrict lifts = task.lifts;
  const float* __restrict by_category = task.category_factors;
  for (int64_t i = 0; i < task.count; ++i) {
    factors[i] = by_category[categories[i]] * lifts[i];
  }
}

// Writes what the block's scores are at least and at most.
inline void BoundBlock(const BoundTask& task) {
  float factors[kBlockItems];
  if (task.categories != nullptr) {
    LiftBlock(task, factors);
  } else {
    for (int64_t i = 0; i < task.count; ++i) factors[i] = 1.0f;
  }
  const double* __restrict sums = task.sums;
  const float* __restrict products = task.products;
  const float* __restrict errors = task.errors;
  float* __restrict lowest = task.lowest;
  float* __restrict highest = task.highest;
  for (int64_t i = 0; i < task.count; ++i) {
    const auto sum = static_cast<float>(sums[i]);
    const float magnitude = Magnitude(sum) + Magnitude(products[i]);
    const float error = (errors[i] + kRounding * magnitude) * Magnitude(factors[i]);
    const float score = (sum + products[i]) * factors[i];
    lowest[i] = score - error;
    highest[i] = score + error;
  }
}
