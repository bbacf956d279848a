#ifndef CC_OPS_RANKER_RANKER_ARGUMENTS_H_
#define CC_OPS_RANKER_RANKER_ARGUMENTS_H_

#include <torch/csrc/stable/tensor.h>

#include <cstdint>

#include "cc/kernels/ranker/ranker.h"
#include "cc/kernels/ranker/ranker_plan.h"
#include "cc/ops/checks.h"

// Reads a packed ranker from its two tensors.
namespace stepwell::ops {

inline kernels::RankerModel ReadRanker(const char* op, const Tensor& weights,
                                       const Tensor& plan) {
  CheckRank(op, "weights", weights, 1);
  CheckRank(op, "plan", plan, 1);
  STEPWELL_OP_CHECK(weights.scalar_type() == ScalarType::Byte, op,
                    ": weights must be uint8, got ", DtypeName(weights.scalar_type()));
  STEPWELL_OP_CHECK(plan.scalar_type() == ScalarType::Long, op,
                    ": plan must be int64, got ", DtypeName(plan.scalar_type()));
  CheckContiguous(op, "weights", weights);
  CheckContiguous(op, "plan", plan);
  kernels::ReadRanker read = kernels::ReadRankerPlan(
      {static_cast<const uint8_t*>(weights.data_ptr()), weights.size(0),
       static_cast<const int64_t*>(plan.data_ptr()), plan.size(0)});
  STEPWELL_OP_CHECK(read.error.empty(), op, ": ", read.error);
  return read.model;
}

}  // namespace stepwell::ops

#endif  // CC_OPS_RANKER_RANKER_ARGUMENTS_H_
