#include "cc/kernels/embedding/entry_backward.h"

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cc/ops/checks.h"
#include "cc/ops/embedding/training_arguments.h"
#include "cc/ops/new_tensor.h"

// CPU side of embedding_bag_tables_entry_backward; its schema is in training_schemas.cc
// and its meaning in py/stepwell/ops/embedding_bag_sparse_gradient.py.
namespace stepwell::ops {
namespace {

constexpr char kOp[] = "embedding_bag_tables_entry_backward";

// Floats written that are worth handing to another thread: about 20 us of work.
constexpr int64_t kFloatsPerTask = 1 << 16;

// Returns the number of entries.
template <typename Index>
int64_t CheckOffsets(const Index* offsets, int64_t num_bags) {
  int64_t before = 0;
  for (int64_t bag = 0; bag <= num_bags; ++bag) {
    const int64_t offset = offsets[bag];
    STEPWELL_OP_CHECK(bag > 0 ? offset >= before : offset == 0, kOp, ": offsets[", bag,
                      "] is ", offset, "; offsets must start at 0 and never fall");
    before = offset;
  }
  return before;
}

int64_t BagsPerTask(int64_t num_bags, int64_t num_floats) {
  if (num_floats <= kFloatsPerTask) return num_bags + 1;
  return num_bags * kFloatsPerTask / num_floats + 1;
}

// One gradient of the pooled output and what it is taken apart by.
template <typename Index>
struct EntryCall {
  const Tensor& grad;
  const std::vector<int64_t>& dims;
  const Index* offsets;
  const float* entry_weights;  // or null
  EntryLayout layout;
};

template <typename Index>
kernels::EntryBags<Index> BagsOfTable(const EntryCall<Index>& call, int64_t table,
                                      int64_t column) {
  const EntryLayout& layout = call.layout;
  const Index* offsets = call.offsets + table * layout.batch;
  const int64_t first = offsets[0];
  const float* grad = static_cast<const float*>(call.grad.data_ptr());
  return {layout.pools ? offsets : nullptr,
          layout.pools ? layout.batch : offsets[layout.batch] - first,
          call.entry_weights == nullptr ? nullptr : call.entry_weights + first,
          layout.pools ? grad + column : grad + first * layout.width,
          layout.width,
          call.dims[table],
          layout.is_mean};
}

template <typename Index>
std::vector<Tensor> Run(const EntryCall<Index>& call) {
  std::vector<Tensor> entry_grads;
  entry_grads.reserve(call.dims.size());
  int64_t column = 0;
  for (size_t table = 0; table < call.dims.size(); ++table) {
    const int64_t dim = call.dims[table];
    const Index* offsets = call.offsets + table * call.layout.batch;
    const int64_t num_entries = offsets[call.layout.batch] - offsets[0];
    entry_grads.push_back(NewEmpty(kOp, call.grad, {num_entries, dim}));
    float* to = static_cast<float*>(entry_grads.back().data_ptr());
    const auto bags = BagsOfTable(call, static_cast<int64_t>(table), column);
    torch::stable::parallel_for(0, bags.batch,
                                BagsPerTask(bags.batch, num_entries * dim),
                                [&](int64_t first, int64_t last) {
                                  kernels::EntryBackward(bags, first, last, to);
                                });
    column += dim;
  }
  return entry_grads;
}

template <typename Index>
std::vector<Tensor> CheckAndRun(const Tensor& grad, const std::vector<int64_t>& dims,
                                const Tensor& offsets,
                                const std::optional<Tensor>& per_sample_weights,
                                const EntryLayout& layout) {
  const Index* starts = static_cast<const Index*>(offsets.data_ptr());
  const int64_t num_entries = CheckOffsets(starts, offsets.size(0) - 1);
  CheckEntryCount(kOp, grad, layout, num_entries, per_sample_weights);
  const float* entry_weights =
      per_sample_weights.has_value()
          ? static_cast<const float*>(per_sample_weights->data_ptr())
          : nullptr;
  return Run(EntryCall<Index>{grad, dims, starts, entry_weights, layout});
}

std::vector<Tensor> EntryBackward(const Tensor grad, const std::vector<int64_t> dims,
                                  const Tensor offsets,
                                  const std::optional<Tensor> per_sample_weights,
                                  const std::string pooling) {
  const EntryLayout layout = CheckEntryArguments(kOp, grad, dims, offsets, pooling);
  if (offsets.scalar_type() == ScalarType::Int) {
    return CheckAndRun<int32_t>(grad, dims, offsets, per_sample_weights, layout);
  }
  return CheckAndRun<int64_t>(grad, dims, offsets, per_sample_weights, layout);
}

STABLE_TORCH_LIBRARY_IMPL(stepwell, CPU, m) {
  m.impl("embedding_bag_tables_entry_backward", TORCH_BOX(&EntryBackward));
}

}  // namespace
}  // namespace stepwell::ops
