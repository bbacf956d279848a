#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "cc/kernels/simd/isa.h"
#include "cc/kernels/topk/key_vec.h"
#include "cc/kernels/topk/topk.h"
#include "cc/kernels/topk/topk_shared.h"

#define STEPWELL_KERNEL_BODY "cc/kernels/topk/topk_body.h"
#include "cc/kernels/simd/per_isa.h"

namespace stepwell::kernels {
namespace {

// Room for k and as much again three times over, so that cutting down is rare.
constexpr int64_t kMinCapacity = 2048;

int64_t CapacityFor(int64_t num_scores, int64_t k) {
  return std::min(num_scores, std::max(4 * k, kMinCapacity)) + kPadding;
}

void SelectKeys(const float* scores, const int64_t* ids, int64_t num_scores, int64_t k,
                KeyBuffer& buffer, Isa isa) {
  // A pivot leaves most keys on one side about once in two; four times that is bad
  // luck.
  const int depth = 8 + 4 * std::bit_width(static_cast<uint64_t>(buffer.capacity));
  switch (isa) {
    case Isa::kAvx512:
      return avx512::TopKeys(scores, ids, num_scores, k, buffer, depth);
    case Isa::kAvx2:
      return avx2::TopKeys(scores, ids, num_scores, k, buffer, depth);
    case Isa::kBaseline:
      break;
  }
  baseline::TopKeys(scores, ids, num_scores, k, buffer, depth);
}

}  // namespace

void TopKScores(const float* scores, const int64_t* ids, int64_t num_scores, int64_t k,
                float* best_scores, int64_t* best_ids, Isa isa) {
  k = std::min(k, num_scores);
  if (k <= 0) return;
  KeyBuffer buffer(CapacityFor(num_scores, k));
  SelectKeys(scores, ids, num_scores, k, buffer, isa);
  for (int64_t i = 0; i < k; ++i) {
    const int64_t position = PlaceOf(buffer.keys[i]);
    const float score = scores[position];
    best_scores[i] =
        std::isfinite(score) ? score : -std::numeric_limits<float>::infinity();
    best_ids[i] = ids[position];
  }
}

}  // namespace stepwell::kernels
