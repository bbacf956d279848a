#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <cstdint>
#include <tuple>

#include "cc/kernels/topk/topk.h"
#include "cc/ops/checks.h"
#include "cc/ops/new_tensor.h"
#include "cc/ops/topk/topk_arguments.h"

// CPU side of the top-k op; its schema is in schemas.cc beside this file and its
// meaning is documented in py/stepwell/ops/topk_scores.py.
namespace stepwell::ops {
namespace {

std::tuple<Tensor, Tensor> TopKScores(const Tensor scores, const Tensor ids,
                                      int64_t k) {
  const int64_t kept = CheckTopKScores(scores, ids, k);
  Tensor best_scores = NewEmpty("topk_scores", scores, {kept});
  Tensor best_ids = NewEmpty("topk_scores", ids, {kept});
  kernels::TopKScores(static_cast<const float*>(scores.data_ptr()),
                      static_cast<const int64_t*>(ids.data_ptr()), scores.size(0), kept,
                      static_cast<float*>(best_scores.data_ptr()),
                      static_cast<int64_t*>(best_ids.data_ptr()));
  return {best_scores, best_ids};
}

STABLE_TORCH_LIBRARY_IMPL(stepwell, CPU, m) {
  m.impl("topk_scores", TORCH_BOX(&TopKScores));
}

}  // namespace
}  // namespace stepwell::ops
