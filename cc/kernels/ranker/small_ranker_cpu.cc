#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "cc/kernels/ranker/small_ranker.h"
#include "cc/kernels/simd/isa.h"
#include "cc/kernels/simd/vec.h"

#define STEPWELL_KERNEL_BODY "cc/kernels/ranker/small_ranker_body.h"
#include "cc/kernels/simd/per_isa.h"

namespace stepwell::kernels {
namespace {

constexpr int64_t kLargestRegister = 16;

int64_t WidestRow(const SmallRanker& ranker) {
  int64_t width = ranker.num_inputs();
  for (const SmallRanker::Layer& layer : ranker.layers) {
    width = std::max(width, layer.num_outputs);
  }
  return (width + kLargestRegister - 1) / kLargestRegister * kLargestRegister;
}

float Standardised(const SmallRanker::Column& column, float value, float clip) {
  if (!std::isfinite(value)) return 0.0f;
  if (column.is_log) value = std::log1p(std::max(value, 0.0f));
  value = (value - column.mean) * column.inverse_scale;
  return std::isfinite(value) ? std::clamp(value, -clip, clip) : 0.0f;
}

void FillRow(const SmallRanker& ranker, const float* dense, const int64_t* sparse,
             float* row) {
  for (const SmallRanker::Column& column : ranker.columns) {
    *row++ = Standardised(column, dense[column.place], ranker.clip);
  }
  for (const SmallRanker::Table& table : ranker.tables) {
    const float* found = table.rows + sparse[table.place] * table.dim;
    row = std::copy_n(found, table.dim, row);
  }
}

void RunLayers(const SmallRanker& ranker, float* from, float* to, float* logits,
               Isa isa) {
  switch (isa) {
    case Isa::kAvx512:
      return avx512::RunLayers(ranker, from, to, logits);
    case Isa::kAvx2:
      return avx2::RunLayers(ranker, from, to, logits);
    case Isa::kBaseline:
      break;
  }
  baseline::RunLayers(ranker, from, to, logits);
}

}  // namespace

int64_t SmallRanker::num_inputs() const {
  auto total = static_cast<int64_t>(columns.size());
  for (const Table& table : tables) total += table.dim;
  return total;
}

void ScoreSmall(const SmallRanker& ranker, const SmallRankerInputs& inputs,
                float* logits, Isa isa) {
  const int64_t width = WidestRow(ranker);
  std::vector<float> rows(static_cast<size_t>(2 * width));
  for (int64_t i = 0; i < inputs.num_candidates; ++i) {
    FillRow(ranker, inputs.dense + i * inputs.dense_stride,
            inputs.sparse + i * inputs.sparse_stride, rows.data());
    RunLayers(ranker, rows.data(), rows.data() + width,
              logits + i * ranker.num_outputs(), isa);
  }
}

}  // namespace stepwell::kernels
