#ifndef CC_OPS_TOPK_TOPK_ARGUMENTS_H_
#define CC_OPS_TOPK_TOPK_ARGUMENTS_H_

#include <torch/csrc/stable/tensor.h>

#include <cstdint>

#include "cc/kernels/topk/topk.h"
#include "cc/ops/checks.h"

// Checks of the top-k op. Header-only, for the CPU and the CUDA library.
namespace stepwell::ops {

// Returns how many are kept: min(k, N).
inline int64_t CheckTopKScores(const Tensor& scores, const Tensor& ids, int64_t k) {
  constexpr char kOp[] = "topk_scores";
  CheckRank(kOp, "scores", scores, 1);
  CheckRank(kOp, "ids", ids, 1);
  CheckFloat32(kOp, "scores", scores);
  STEPWELL_OP_CHECK(ids.scalar_type() == ScalarType::Long, kOp,
                    ": ids must be int64, got ", DtypeName(ids.scalar_type()));
  const int64_t size = scores.size(0);
  STEPWELL_OP_CHECK(size <= kernels::kTopKMaxScores, kOp, ": scores must have at most ",
                    kernels::kTopKMaxScores, " elements, got ", size);
  CheckSize(kOp, "ids", ids, 0, size);
  STEPWELL_OP_CHECK(k >= 0, kOp, ": k must be >= 0, got ", k);
  CheckContiguous(kOp, "scores", scores);
  CheckContiguous(kOp, "ids", ids);
  CheckDevice(kOp, "ids", ids, scores);
  return k < size ? k : size;
}

}  // namespace stepwell::ops

#endif  // CC_OPS_TOPK_TOPK_ARGUMENTS_H_
