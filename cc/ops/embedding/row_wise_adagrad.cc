#include "cc/kernels/embedding/row_wise_adagrad.h"

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <cstdint>
#include <vector>

#include "cc/ops/checks.h"
#include "cc/ops/embedding/training_arguments.h"

// CPU side of row_wise_adagrad_; its schema is in training_schemas.cc and its meaning
// in py/stepwell/ops/row_wise_adagrad.py.
namespace stepwell::ops {
namespace {

constexpr char kOp[] = "row_wise_adagrad_";

// Floats of gradient that are worth handing to another thread: about 20 us of work.
constexpr int64_t kFloatsPerTask = 1 << 15;

// Every id is checked before any row changes.
template <typename Index>
std::vector<kernels::RowEntry> EntriesOf(const Tensor& row_ids, int64_t num_rows) {
  const Index* ids = static_cast<const Index*>(row_ids.data_ptr());
  const int64_t num_entries = row_ids.size(0);
  std::vector<kernels::RowEntry> entries;
  entries.reserve(num_entries);
  for (int64_t position = 0; position < num_entries; ++position) {
    const int64_t row = ids[position];
    STEPWELL_OP_CHECK(row >= 0 && row < num_rows, kOp, ": row_ids[", position, "] is ",
                      row, ", must be in [0, ", num_rows - 1, "]");
    entries.push_back({row, position});
  }
  return entries;
}

void RowWiseAdagrad(Tensor table, Tensor moments, const Tensor row_ids,
                    const Tensor grads, double lr, double eps) {
  CheckAdagradArguments(kOp, table, moments, row_ids, grads, lr, eps);
  const int64_t dim = table.size(1);
  std::vector<kernels::RowEntry> entries =
      row_ids.scalar_type() == ScalarType::Int
          ? EntriesOf<int32_t>(row_ids, table.size(0))
          : EntriesOf<int64_t>(row_ids, table.size(0));
  kernels::SortByRow(entries);
  const kernels::AdagradTable trained = {static_cast<float*>(table.data_ptr()),
                                         static_cast<float*>(moments.data_ptr()),
                                         static_cast<const float*>(grads.data_ptr()),
                                         dim,
                                         static_cast<float>(lr),
                                         static_cast<float>(eps)};
  torch::stable::parallel_for(
      0, static_cast<int64_t>(entries.size()), kFloatsPerTask / dim + 1,
      [&](int64_t first, int64_t last) {
        std::vector<float> scratch(dim);
        kernels::RowWiseAdagrad(trained, entries, first, last, scratch.data());
      });
}

STABLE_TORCH_LIBRARY_IMPL(stepwell, CPU, m) {
  m.impl("row_wise_adagrad_", TORCH_BOX(&RowWiseAdagrad));
}

}  // namespace
}  // namespace stepwell::ops
