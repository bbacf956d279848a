#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <cstdint>
#include <tuple>

#include "cc/kernels/topk/topk_cuda.h"
#include "cc/ops/checks.h"
#include "cc/ops/cuda_stream.h"
#include "cc/ops/new_tensor.h"
#include "cc/ops/topk/topk_arguments.h"

// CUDA side of the top-k op; its schema is in schemas.cc beside this file.
namespace stepwell::ops {
namespace {

std::tuple<Tensor, Tensor> TopKScores(const Tensor scores, const Tensor ids,
                                      int64_t k) {
  constexpr char kOp[] = "topk_scores";
  const int64_t kept = CheckTopKScores(scores, ids, k);
  const CudaScope scope(scores);
  Tensor best_scores = NewEmpty(kOp, scores, {kept});
  Tensor best_ids = NewEmpty(kOp, ids, {kept});
  if (kept == 0) return {best_scores, best_ids};
  // From torch's allocator, which keeps it until this stream is done with it.
  const int64_t scratch_words =
      kernels::cuda::TopKScratchBytes(kept) / static_cast<int64_t>(sizeof(int64_t));
  Tensor scratch = NewEmpty(kOp, ids, {scratch_words});
  CheckLaunch(kOp,
              kernels::cuda::TopK(
                  {static_cast<const float*>(scores.data_ptr()),
                   static_cast<const int64_t*>(ids.data_ptr()), scores.size(0), kept},
                  scratch_words == 0 ? nullptr : scratch.data_ptr(),
                  static_cast<float*>(best_scores.data_ptr()),
                  static_cast<int64_t*>(best_ids.data_ptr()), scope.stream()));
  return {best_scores, best_ids};
}

STABLE_TORCH_LIBRARY_IMPL(stepwell, STEPWELL_CUDA_DISPATCH_KEY, m) {
  m.impl("topk_scores", TORCH_BOX(&TopKScores));
}

}  // namespace
}  // namespace stepwell::ops
