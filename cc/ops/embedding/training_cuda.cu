#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cc/kernels/embedding/embedding.h"
#include "cc/kernels/embedding/training_cuda.h"
#include "cc/ops/checks.h"
#include "cc/ops/cuda_stream.h"
#include "cc/ops/embedding/training_arguments.h"
#include "cc/ops/new_tensor.h"

// CUDA side of the ops that train tables; schemas are in training_schemas.cc beside
// this file. embedding_bag_tables_entry_backward is the one CUDA op that waits for the
// GPU: the sizes of what it returns are in offsets. So it cannot be captured into a
// graph.
namespace stepwell::ops {
namespace {

using kernels::EmbeddingBags;
using kernels::EmbeddingTable;
using kernels::Pooling;

// Returns where each table's entries start, and the number of entries, as int64 on the
// host: offsets[0], offsets[B], offsets[2 B] ...
std::vector<int64_t> TableStarts(const char* op, const Tensor& offsets,
                                 int64_t num_tables, int64_t batch) {
  if (batch == 0) return std::vector<int64_t>(num_tables + 1, 0);
  std::array<StableIValue, 5> stack = {
      torch::stable::detail::from(offsets), torch::stable::detail::from(int64_t{0}),
      torch::stable::detail::from(std::optional<int64_t>(0)),
      torch::stable::detail::from(std::optional<int64_t>()),
      torch::stable::detail::from(batch)};
  STABLE_TORCH_ERROR_CODE_CHECK(
      torch_call_dispatcher("aten::slice", "Tensor", stack.data(), TORCH_ABI_VERSION));
  const Tensor strided = torch::stable::detail::to<Tensor>(stack[0]);
  const Tensor host = torch::stable::to(
      torch::stable::contiguous(strided), ScalarType::Long, std::nullopt,
      torch::stable::Device(torch::headeronly::DeviceType::CPU));
  const int64_t* starts = static_cast<const int64_t*>(host.data_ptr());
  for (int64_t t = 0; t <= num_tables; ++t) {
    STEPWELL_OP_CHECK(t > 0 ? starts[t] >= starts[t - 1] : starts[0] == 0, op,
                      ": offsets[", t * batch, "] is ", starts[t],
                      "; offsets must start at 0 and never fall");
  }
  return {starts, starts + num_tables + 1};
}

Pooling PoolingOf(const EntryLayout& layout) {
  if (!layout.pools) return Pooling::kNone;
  return layout.is_mean ? Pooling::kMean : Pooling::kSum;
}

// Tables of which only the sizes are known.
std::vector<EmbeddingTable> TablesOfDims(const std::vector<int64_t>& dims, bool pools) {
  std::vector<EmbeddingTable> tables;
  int64_t column = 0;
  for (const int64_t dim : dims) {
    tables.push_back({nullptr, 0, dim, pools ? column : 0});
    column += dim;
  }
  return tables;
}

std::vector<Tensor> EntryBackward(const Tensor grad, const std::vector<int64_t> dims,
                                  const Tensor offsets,
                                  const std::optional<Tensor> per_sample_weights,
                                  const std::string pooling) {
  constexpr char kOp[] = "embedding_bag_tables_entry_backward";
  const EntryLayout layout = CheckEntryArguments(kOp, grad, dims, offsets, pooling);
  const CudaScope scope(grad);
  const int64_t num_tables = static_cast<int64_t>(dims.size());
  const std::vector<int64_t> starts =
      TableStarts(kOp, offsets, num_tables, layout.batch);
  CheckEntryCount(kOp, grad, layout, starts.back(), per_sample_weights);
  std::vector<Tensor> entry_grads;
  std::vector<float*> pointers;
  for (int64_t t = 0; t < num_tables; ++t) {
    entry_grads.push_back(NewEmpty(kOp, grad, {starts[t + 1] - starts[t], dims[t]}));
    pointers.push_back(static_cast<float*>(entry_grads.back().data_ptr()));
  }
  const std::vector<EmbeddingTable> tables = TablesOfDims(dims, layout.pools);
  const float* from = static_cast<const float*>(grad.data_ptr());
  const float* entry_weights =
      per_sample_weights.has_value()
          ? static_cast<const float*>(per_sample_weights->data_ptr())
          : nullptr;
  const auto run = [&](auto index) {
    using Index = decltype(index);
    const EmbeddingBags<Index> bags = {tables.data(),
                                       num_tables,
                                       nullptr,
                                       starts.back(),
                                       static_cast<const Index*>(offsets.data_ptr()),
                                       entry_weights,
                                       layout.batch,
                                       layout.width,
                                       PoolingOf(layout)};
    return kernels::cuda::EntryBackward(bags, from, pointers.data(), scope.stream());
  };
  CheckLaunch(kOp, offsets.scalar_type() == ScalarType::Int ? run(int32_t{0})
                                                            : run(int64_t{0}));
  return entry_grads;
}

struct SortedRows {
  Tensor rows;       // int64, ascending
  Tensor positions;  // int64, ascending among equal rows
};

SortedRows SortByRow(const Tensor& row_ids) {
  const Tensor ids = torch::stable::to(row_ids, ScalarType::Long);
  std::array<StableIValue, 4> stack = {
      torch::stable::detail::from(ids),
      torch::stable::detail::from(std::optional<bool>(true)),
      torch::stable::detail::from(int64_t{0}), torch::stable::detail::from(false)};
  STABLE_TORCH_ERROR_CODE_CHECK(
      torch_call_dispatcher("aten::sort", "stable", stack.data(), TORCH_ABI_VERSION));
  return {torch::stable::detail::to<Tensor>(stack[0]),
          torch::stable::detail::to<Tensor>(stack[1])};
}

void RowWiseAdagrad(Tensor table, Tensor moments, const Tensor row_ids,
                    const Tensor grads, double lr, double eps) {
  constexpr char kOp[] = "row_wise_adagrad_";
  CheckAdagradArguments(kOp, table, moments, row_ids, grads, lr, eps);
  const CudaScope scope(table);
  const SortedRows sorted = SortByRow(row_ids);
  const kernels::cuda::AdagradTable trained = {
      static_cast<float*>(table.data_ptr()),
      static_cast<float*>(moments.data_ptr()),
      static_cast<const float*>(grads.data_ptr()),
      table.size(0),
      table.size(1),
      static_cast<float>(lr),
      static_cast<float>(eps)};
  CheckLaunch(kOp, kernels::cuda::RowWiseAdagrad(
                       trained, static_cast<const int64_t*>(sorted.rows.data_ptr()),
                       static_cast<const int64_t*>(sorted.positions.data_ptr()),
                       row_ids.size(0), scope.stream()));
}

STABLE_TORCH_LIBRARY_IMPL(stepwell, STEPWELL_CUDA_DISPATCH_KEY, m) {
  m.impl("embedding_bag_tables_entry_backward", TORCH_BOX(&EntryBackward));
  m.impl("row_wise_adagrad_", TORCH_BOX(&RowWiseAdagrad));
}

}  // namespace
}  // namespace stepwell::ops
