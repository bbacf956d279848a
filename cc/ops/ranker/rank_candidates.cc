#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <cstdint>

#include "cc/kernels/ranker/ranker.h"
#include "cc/ops/checks.h"
#include "cc/ops/new_tensor.h"
#include "cc/ops/ranker/ranker_arguments.h"

// CPU side of the ranker in one call; its schema is in schemas.cc beside this file and
// its meaning is documented in py/stepwell/ops/rank_candidates.py.
namespace stepwell::ops {
namespace {

constexpr char kOp[] = "rank_candidates";

const int64_t* CheckIndices(const char* name, const Tensor& tensor) {
  CheckRank(kOp, name, tensor, 1);
  STEPWELL_OP_CHECK(tensor.scalar_type() == ScalarType::Long, kOp, ": ", name,
                    " must be int64, got ", DtypeName(tensor.scalar_type()));
  CheckContiguous(kOp, name, tensor);
  return static_cast<const int64_t*>(tensor.data_ptr());
}

void CheckRows(const char* name, const int64_t* rows, int64_t count, int64_t num_rows) {
  for (int64_t i = 0; i < count; ++i) {
    STEPWELL_OP_CHECK(rows[i] >= 0 && rows[i] < num_rows, kOp, ": ", name, "[", i,
                      "] is ", rows[i], ", must be in [0, ", num_rows - 1, "]");
  }
}

void CheckOffsets(const int64_t* offsets, int64_t num_requests, int64_t count) {
  STEPWELL_OP_CHECK(offsets[0] == 0 && offsets[num_requests] == count, kOp,
                    ": offsets go from ", offsets[0], " to ", offsets[num_requests],
                    ", must go from 0 to ", count);
  for (int64_t r = 0; r < num_requests; ++r) {
    STEPWELL_OP_CHECK(offsets[r] <= offsets[r + 1], kOp, ": offsets[", r + 1, "] is ",
                      offsets[r + 1], ", less than the ", offsets[r], " before it");
  }
}

void CheckItems(const Tensor& items, kernels::RankerModel& model) {
  CheckRank(kOp, "items", items, 1);
  STEPWELL_OP_CHECK(items.scalar_type() == ScalarType::Byte, kOp,
                    ": items must be uint8, got ", DtypeName(items.scalar_type()));
  CheckContiguous(kOp, "items", items);
  STEPWELL_OP_CHECK(items.size(0) % model.record_bytes == 0, kOp, ": items has ",
                    items.size(0), " bytes, must be a multiple of ",
                    model.record_bytes);
  model.items = static_cast<const uint8_t*>(items.data_ptr());
  model.num_items = items.size(0) / model.record_bytes;
}

Tensor RankCandidates(const Tensor dense, const Tensor item_rows,
                      const Tensor user_rows, const Tensor offsets,
                      const Tensor weights, const Tensor plan, const Tensor items,
                      int64_t num_objectives, double clip) {
  kernels::RankerModel model = ReadRanker(kOp, weights, plan);
  STEPWELL_OP_CHECK(num_objectives == model.num_objectives, kOp, ": num_objectives is ",
                    num_objectives, ", the plan has ", model.num_objectives);
  model.clip = static_cast<float>(clip);
  CheckItems(items, model);
  CheckFloatTensor(kOp, "dense", dense, 2, dense);
  CheckSize(kOp, "dense", dense, 1, model.num_dense);
  const int64_t count = dense.size(0);
  const int64_t* rows = CheckIndices("item_rows", item_rows);
  CheckSize(kOp, "item_rows", item_rows, 0, count);
  CheckRows("item_rows", rows, count, model.num_items);
  const int64_t* users = CheckIndices("user_rows", user_rows);
  const int64_t num_requests = user_rows.size(0);
  if (model.num_user_rows > 0) {
    CheckRows("user_rows", users, num_requests, model.num_user_rows);
  }
  const int64_t* ends = CheckIndices("offsets", offsets);
  CheckSize(kOp, "offsets", offsets, 0, num_requests + 1);
  CheckOffsets(ends, num_requests, count);
  Tensor logits = NewEmpty(kOp, dense, {count, model.num_objectives});
  const float* from = static_cast<const float*>(dense.data_ptr());
  float* to = static_cast<float*>(logits.data_ptr());
  for (int64_t r = 0; r < num_requests; ++r) {
    const int64_t first = ends[r];
    kernels::RankCandidates(
        model,
        {from + first * model.num_dense, rows + first, ends[r + 1] - first, users[r]},
        to + first * model.num_objectives);
  }
  return logits;
}

STABLE_TORCH_LIBRARY_IMPL(stepwell, CPU, m) {
  m.impl("rank_candidates", TORCH_BOX(&RankCandidates));
}

}  // namespace
}  // namespace stepwell::ops
