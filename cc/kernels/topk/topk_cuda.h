#ifndef CC_KERNELS_TOPK_TOPK_CUDA_H_
#define CC_KERNELS_TOPK_TOPK_CUDA_H_

#include <cuda_runtime_api.h>

#include <cstdint>

namespace stepwell::kernels::cuda {

// Scores and ids in device memory, and how many of them are wanted, 1 <= k <= count
// < 2^31.
struct TopKInput {
  const float* scores;
  const int64_t* ids;
  int64_t count;
  int64_t k;
};

// Bytes of device memory, aligned to 8, that TopK needs for `k`; 0 for the k of
// serving.
int64_t TopKScratchBytes(int64_t k);

// Writes the k best, best first: scores descending, ties by lower id; scores that are
// not finite rank after all others, by lower id, and come out as -inf. Exact and
// deterministic. One block does it all: meant for the candidates of a request. Cost:
// up to 13 reads of the scores, then a bitonic sort of k. Only enqueues work on
// `stream`; returns the launch's error.
cudaError_t TopK(const TopKInput& input, void* scratch, float* best_scores,
                 int64_t* best_ids, cudaStream_t stream);

}  // namespace stepwell::kernels::cuda

#endif  // CC_KERNELS_TOPK_TOPK_CUDA_H_
