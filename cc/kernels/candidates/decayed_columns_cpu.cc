#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "cc/kernels/candidates/decayed_columns.h"
#include "cc/kernels/simd/isa.h"

namespace stepwell::kernels {
namespace {

// Rows in one step: their factors stay in the nearest cache.
constexpr int64_t kStepRows = 32;
// Beyond so many half-lives nothing is left.
constexpr float kMostHalfLives = 126.0f;

template <typename T>
inline T ReadAt(const char* row, int64_t offset) {
  T value;
  std::memcpy(&value, row + offset, sizeof(value));
  return value;
}

}  // namespace
}  // namespace stepwell::kernels

#define STEPWELL_KERNEL_BODY "cc/kernels/candidates/decayed_columns_body.h"
#include "cc/kernels/simd/per_isa.h"

namespace stepwell::kernels {
namespace {

void FactorsOf(const float* ages, float rate, float* factors, Isa isa) {
  switch (isa) {
    case Isa::kAvx512:
      return avx512::WriteFactors(ages, rate, factors);
    case Isa::kAvx2:
      return avx2::WriteFactors(ages, rate, factors);
    case Isa::kBaseline:
      break;
  }
  baseline::WriteFactors(ages, rate, factors);
}

}  // namespace

DecayedColumns::DecayedColumns(const std::vector<DecayedColumn>& columns,
                               int64_t row_bytes)
    : row_bytes_(row_bytes), numbers_(columns.size()) {
  std::vector<bool> placed(columns.size(), false);
  for (size_t i = 0; i < columns.size(); ++i) {
    if (placed[i]) continue;
    const int64_t offset = columns[i].time_offset;
    const size_t first = rates_.size();
    for (size_t j = i; j < columns.size(); ++j) {
      if (columns[j].time_offset != offset) continue;
      const float rate = 1.0f / columns[j].half_life_seconds;
      const auto from = rates_.begin() + static_cast<std::ptrdiff_t>(first);
      const auto known = std::find(from, rates_.end(), rate);
      numbers_[j] = {columns[j].value_offset,
                     static_cast<size_t>(known - rates_.begin())};
      if (known == rates_.end()) rates_.push_back(rate);
      placed[j] = true;
    }
    times_.push_back({offset, first, rates_.size()});
  }
}

void DecayedColumns::Write(const char* row, int64_t now, float* out) const {
  const int64_t first = 0;
  WriteRows(row, &first, 1, now, out, size());
}

void DecayedColumns::WriteRows(const char* rows, const int64_t* places,
                               int64_t num_rows, int64_t now, float* out,
                               int64_t stride, Isa isa) const {
  const char* at[kStepRows];
  float ages[kStepRows] = {}, factors[kMaxColumns * kStepRows];
  for (int64_t first = 0; first < num_rows;
       first += kStepRows, out += kStepRows * stride) {
    const int64_t size = std::min(kStepRows, num_rows - first);
    for (int64_t i = 0; i < size; ++i) {
      at[i] = rows + places[first + i] * row_bytes_;
      __builtin_prefetch(at[i]);
    }
    for (const Time& time : times_) {
      for (int64_t i = 0; i < size; ++i) {
        const int64_t then = ReadAt<int64_t>(at[i], time.offset);
        ages[i] = static_cast<float>(std::max<int64_t>(now - then, 0));
      }
      for (size_t rate = time.first_rate; rate < time.end_rate; ++rate) {
        FactorsOf(ages, rates_[rate], factors + rate * kStepRows, isa);
      }
    }
    for (size_t column = 0; column < numbers_.size(); ++column) {
      const float* factor = factors + numbers_[column].rate * kStepRows;
      for (int64_t i = 0; i < size; ++i) {
        out[i * stride + static_cast<int64_t>(column)] =
            ReadAt<float>(at[i], numbers_[column].offset) * factor[i];
      }
    }
  }
}

}  // namespace stepwell::kernels
