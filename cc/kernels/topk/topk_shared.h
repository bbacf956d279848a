#ifndef CC_KERNELS_TOPK_TOPK_SHARED_H_
#define CC_KERNELS_TOPK_TOPK_SHARED_H_

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "cc/kernels/topk/key_vec.h"

// Pieces of the CPU kernel that need no wide registers. Internal linkage: this header
// is for topk_cpu.cc only.
namespace stepwell::kernels {
namespace {

// Keys that are ranked by comparing each with each, without a branch.
constexpr int64_t kRankSortMax = 64;
// Keys that a pivot is chosen from.
constexpr int64_t kNumSamples = 16;
// Stores of whole registers may write so many keys past the last one.
constexpr int64_t kPadding = 16;

// The keys kept so far, and room of the same size to sort them with.
struct KeyBuffer {
  explicit KeyBuffer(int64_t keys)
      : capacity(keys),
        storage(std::make_unique_for_overwrite<int64_t[]>(2 * (keys + kPadding))),
        keys(storage.get()),
        scratch(storage.get() + capacity + kPadding) {}

  int64_t capacity;
  std::unique_ptr<int64_t[]> storage;
  int64_t* keys;
  int64_t* scratch;
};

// What the quick selection falls back to when its pivots were bad too often.
inline void SortTopByHeap(int64_t* keys, int64_t num_keys, int64_t k) {
  std::partial_sort(keys, keys + k, keys + num_keys, std::greater<int64_t>());
}

struct LowerId {
  const int64_t* ids;
  bool operator()(int64_t a, int64_t b) const {
    const int64_t id_a = ids[PlaceOf(a)];
    const int64_t id_b = ids[PlaceOf(b)];
    return id_a != id_b ? id_a < id_b : a > b;
  }
};

// keys[k - 1] is the k-th best and those before it are no worse. Where scores equal to
// its score lie on both sides of k, brings those of the lowest ids to the front: keys
// alone put the lowest position there.
inline void ResolveEdge(int64_t* keys, int64_t num_keys, int64_t k,
                        const int64_t* ids) {
  const int32_t edge = OrderedScoreOf(keys[k - 1]);
  const auto ties = [edge](int64_t key) { return OrderedScoreOf(key) == edge; };
  if (std::none_of(keys + k, keys + num_keys, ties)) return;
  std::vector<int64_t> tied;
  std::copy_if(keys, keys + num_keys, std::back_inserter(tied), ties);
  const int64_t kept = std::count_if(keys, keys + k, ties);
  std::nth_element(tied.begin(), tied.begin() + kept, tied.end(), LowerId{ids});
  auto next = tied.begin();
  for (int64_t i = 0; i < num_keys; ++i) {
    if (ties(keys[i])) keys[i] = *next++;
  }
}

// Orders runs of equal scores by id; `keys` descend.
inline void OrderTies(int64_t* keys, int64_t num_keys, const int64_t* ids) {
  int64_t start = 0;
  for (int64_t i = 1; i <= num_keys; ++i) {
    if (i < num_keys && OrderedScoreOf(keys[i]) == OrderedScoreOf(keys[start])) {
      continue;
    }
    if (i - start > 1 && !std::is_sorted(keys + start, keys + i, LowerId{ids})) {
      std::sort(keys + start, keys + i, LowerId{ids});
    }
    start = i;
  }
}

}  // namespace
}  // namespace stepwell::kernels

#endif  // CC_KERNELS_TOPK_TOPK_SHARED_H_
