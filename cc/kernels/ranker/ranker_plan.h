#ifndef CC_KERNELS_RANKER_RANKER_PLAN_H_
#define CC_KERNELS_RANKER_RANKER_PLAN_H_

#include <cstdint>
#include <string>

#include "cc/kernels/ranker/ranker.h"

namespace stepwell::kernels {

// A packed ranker: the weights end to end, and where each lies. The numbers of the plan
// are in the order in which py/stepwell/ops/ranker_plan.py writes them.
struct RankerStorage {
  const uint8_t* weights;
  int64_t num_bytes;
  const int64_t* plan;
  int64_t num_numbers;
};

// A model over the storage, which must outlive it; without items and without `clip`.
struct ReadRanker {
  RankerModel model;
  std::string error;  // says what does not fit; empty where all does
};

// Checks every number of the plan against the sizes of the storage.
ReadRanker ReadRankerPlan(const RankerStorage& storage);

}  // namespace stepwell::kernels

#endif  // CC_KERNELS_RANKER_RANKER_PLAN_H_
