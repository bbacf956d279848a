#include <cstdint>

#include "cc/kernels/cuda/launch.h"
#include "cc/kernels/topk/topk_cuda.h"

namespace stepwell::kernels::cuda {
namespace {

constexpr int kThreads = 1024;
constexpr int kBins = 256;
// The key's bytes from the first: 4 of the score, 8 of the id.
constexpr int kDigits = 12;
constexpr int kScoreDigits = 4;
// Past this the sort works in device memory.
constexpr int64_t kMaxSharedKeys = 8192;
constexpr int64_t kBytesPerKey = sizeof(uint64_t) + sizeof(uint32_t);

// A number that is greater for what ranks earlier: by score, then by id.
struct Key {
  uint32_t score;
  uint64_t id;

  __device__ __forceinline__ bool operator<(const Key& other) const {
    return score != other.score ? score < other.score : id < other.id;
  }
  __device__ __forceinline__ unsigned Digit(int digit) const {
    if (digit < kScoreDigits) return (score >> (8 * (kScoreDigits - 1 - digit))) & 255;
    return static_cast<unsigned>(id >> (8 * (kDigits - 1 - digit))) & 255;
  }
};

constexpr uint32_t kSign32 = 0x80000000u;
constexpr uint64_t kSign64 = uint64_t{1} << 63;
constexpr uint32_t kExponent = 0x7F800000u;

__device__ __forceinline__ Key KeyOf(float score, int64_t id) {
  uint32_t bits = __float_as_uint(score);
  if ((bits & kExponent) == kExponent) bits = kSign32 | kExponent;  // -inf
  if (bits == kSign32) bits = 0;                                    // -0 is 0
  const uint32_t ordered = (bits & kSign32) != 0 ? ~bits : bits | kSign32;
  return {ordered, ~(static_cast<uint64_t>(id) ^ kSign64)};
}

__device__ __forceinline__ float ScoreOf(const Key& key) {
  const bool positive = (key.score & kSign32) != 0;
  return __uint_as_float(positive ? key.score & ~kSign32 : ~key.score);
}

__device__ __forceinline__ int64_t IdOf(const Key& key) {
  return static_cast<int64_t>(~key.id ^ kSign64);
}

// What is known of the k-th best key: its first `num_digits` bytes. `left` of the keys
// that share them are among the best.
struct Threshold {
  Key key;
  int num_digits;
  unsigned left;
};

// How a key compares with the threshold's known bytes: 1 before, 0 among, -1 after.
__device__ __forceinline__ int Compare(const Key& key, const Threshold& threshold) {
  for (int digit = 0; digit < threshold.num_digits; ++digit) {
    const unsigned mine = key.Digit(digit);
    const unsigned its = threshold.key.Digit(digit);
    if (mine != its) return mine > its ? 1 : -1;
  }
  return 0;
}

// Counts the next byte of the keys that share the known ones. A thread adds up equal
// bytes in a row, for scores that mostly begin alike.
__device__ __forceinline__ void CountDigits(const TopKInput& input,
                                            const Threshold& threshold,
                                            unsigned* bins) {
  for (int bin = threadIdx.x; bin < kBins; bin += kThreads) bins[bin] = 0;
  __syncthreads();
  unsigned last = 0;
  unsigned times = 0;
  for (int64_t at = threadIdx.x; at < input.count; at += kThreads) {
    const Key key = KeyOf(input.scores[at], input.ids[at]);
    if (Compare(key, threshold) != 0) continue;
    const unsigned digit = key.Digit(threshold.num_digits);
    if (digit != last) {
      if (times > 0) atomicAdd(bins + last, times);
      last = digit;
      times = 0;
    }
    ++times;
  }
  if (times > 0) atomicAdd(bins + last, times);
  __syncthreads();
}

__device__ __forceinline__ void AppendDigit(unsigned digit, Threshold& threshold) {
  if (threshold.num_digits < kScoreDigits) {
    threshold.key.score |= digit << (8 * (kScoreDigits - 1 - threshold.num_digits));
  } else {
    threshold.key.id |= static_cast<uint64_t>(digit)
                        << (8 * (kDigits - 1 - threshold.num_digits));
  }
  ++threshold.num_digits;
}

// Finds the threshold byte by byte; every thread computes the same.
__device__ __forceinline__ Threshold FindThreshold(const TopKInput& input,
                                                   unsigned* bins) {
  Threshold threshold = {{0, 0}, 0, static_cast<unsigned>(input.k)};
  bool all_of_bin = input.k == input.count;
  while (!all_of_bin && threshold.num_digits < kDigits) {
    CountDigits(input, threshold, bins);
    int digit = kBins - 1;
    while (digit > 0 && bins[digit] < threshold.left) {
      threshold.left -= bins[digit];
      --digit;
    }
    all_of_bin = bins[digit] == threshold.left;
    AppendDigit(static_cast<unsigned>(digit), threshold);
    // The bins are read by all before they are cleared.
    __syncthreads();
  }
  return threshold;
}

// The keys that are sorted: in shared memory or in scratch.
struct KeyArrays {
  uint64_t* ids;
  uint32_t* scores;

  __device__ __forceinline__ Key Get(int64_t at) const { return {scores[at], ids[at]}; }
  __device__ __forceinline__ void Set(int64_t at, const Key& key) const {
    scores[at] = key.score;
    ids[at] = key.id;
  }
};

// Puts the k best into keys [0, k), in any order: those before the threshold from the
// front, as many as wanted of those among it from the back.
__device__ __forceinline__ void Collect(const TopKInput& input,
                                        const Threshold& threshold,
                                        const KeyArrays& keys, unsigned* counters) {
  if (threadIdx.x < 2) counters[threadIdx.x] = 0;
  __syncthreads();
  for (int64_t at = threadIdx.x; at < input.count; at += kThreads) {
    const Key key = KeyOf(input.scores[at], input.ids[at]);
    const int order = Compare(key, threshold);
    if (order > 0) {
      keys.Set(atomicAdd(counters, 1u), key);
    } else if (order == 0) {
      const unsigned slot = atomicAdd(counters + 1, 1u);
      if (slot < threshold.left) keys.Set(input.k - 1 - slot, key);
    }
  }
  __syncthreads();
}

// Sorts keys [0, size), a power of two, greatest first (Batcher's bitonic network).
__device__ __forceinline__ void Sort(const KeyArrays& keys, int64_t size) {
  for (int64_t run = 2; run <= size; run *= 2) {
    for (int64_t step = run / 2; step > 0; step /= 2) {
      for (int64_t at = threadIdx.x; at < size / 2; at += kThreads) {
        const int64_t low = at / step * step * 2 + at % step;
        const Key first = keys.Get(low);
        const Key second = keys.Get(low + step);
        const bool descending = (low & run) == 0;
        if (descending ? first < second : second < first) {
          keys.Set(low, second);
          keys.Set(low + step, first);
        }
      }
      __syncthreads();
    }
  }
}

__global__ void __launch_bounds__(kThreads)
    TopKKernel(TopKInput input, int64_t size, void* scratch, float* best_scores,
               int64_t* best_ids) {
  STEPWELL_DYNAMIC_SHARED(shared_keys);
  __shared__ unsigned bins[kBins];
  void* const memory = scratch == nullptr ? shared_keys : scratch;
  uint64_t* const ids = static_cast<uint64_t*>(memory);
  const KeyArrays keys = {ids, reinterpret_cast<uint32_t*>(ids + size)};
  const Threshold threshold = FindThreshold(input, bins);
  // Past the keys the least one of all, which no score has.
  for (int64_t at = input.k + threadIdx.x; at < size; at += kThreads) {
    keys.Set(at, {0, 0});
  }
  Collect(input, threshold, keys, bins);
  Sort(keys, size);
  for (int64_t at = threadIdx.x; at < input.k; at += kThreads) {
    best_scores[at] = ScoreOf(keys.Get(at));
    best_ids[at] = IdOf(keys.Get(at));
  }
}

int64_t PowerOfTwoFrom(int64_t k) {
  int64_t size = 1;
  while (size < k) size *= 2;
  return size;
}

}  // namespace

int64_t TopKScratchBytes(int64_t k) {
  const int64_t size = PowerOfTwoFrom(k);
  return size <= kMaxSharedKeys ? 0 : size * kBytesPerKey;
}

cudaError_t TopK(const TopKInput& input, void* scratch, float* best_scores,
                 int64_t* best_ids, cudaStream_t stream) {
  if (input.k < 1 || input.k > input.count || input.count > INT32_MAX) {
    return cudaErrorInvalidValue;
  }
  const bool in_scratch = TopKScratchBytes(input.k) > 0;
  if (in_scratch != (scratch != nullptr)) return cudaErrorInvalidValue;
  const int64_t size = PowerOfTwoFrom(input.k);
  const int64_t shared_bytes = in_scratch ? 0 : size * kBytesPerKey;
  return Launch(TopKKernel, {1, kThreads, shared_bytes}, stream, input, size, scratch,
                best_scores, best_ids);
}

}  // namespace stepwell::kernels::cuda
