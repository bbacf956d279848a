#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "cc/kernels/embedding/row_wise_adagrad.h"
#include "cc/kernels/simd/isa.h"
#include "cc/kernels/simd/vec.h"

#define STEPWELL_KERNEL_BODY "cc/kernels/embedding/row_wise_adagrad_body.h"
#include "cc/kernels/simd/per_isa.h"

namespace stepwell::kernels {

// A radix sort, lowest digits first: each pass keeps the order of the one before, so
// that entries of a row stay in order of position.
void SortByRow(std::vector<RowEntry>& entries) {
  constexpr int kBits = 11;
  constexpr uint64_t kMask = (1u << kBits) - 1;
  uint64_t largest = 0;
  for (const RowEntry& entry : entries) {
    largest = std::max(largest, static_cast<uint64_t>(entry.row));
  }
  std::vector<RowEntry> sorted(entries.size());
  for (int shift = 0; shift < 64 && largest >> shift != 0; shift += kBits) {
    std::array<int64_t, kMask + 2> starts{};
    for (const RowEntry& entry : entries) {
      ++starts[((static_cast<uint64_t>(entry.row) >> shift) & kMask) + 1];
    }
    for (uint64_t digit = 0; digit < kMask; ++digit) starts[digit + 1] += starts[digit];
    for (const RowEntry& entry : entries) {
      sorted[starts[(static_cast<uint64_t>(entry.row) >> shift) & kMask]++] = entry;
    }
    entries.swap(sorted);
  }
}

void RowWiseAdagrad(const AdagradTable& table, const std::vector<RowEntry>& entries,
                    int64_t first, int64_t last, float* scratch, Isa isa) {
  // The row that the range starts within belongs to the range before.
  while (first > 0 && first < last && entries[first].row == entries[first - 1].row) {
    ++first;
  }
  const RowEntry* begin = entries.data();
  const RowEntry* end = begin + entries.size();
  if (isa >= Isa::kAvx512) {
    return avx512::Update(table, begin + first, begin + last, end, scratch);
  }
  if (isa == Isa::kAvx2) {
    return avx2::Update(table, begin + first, begin + last, end, scratch);
  }
  baseline::Update(table, begin + first, begin + last, end, scratch);
}

}  // namespace stepwell::kernels
