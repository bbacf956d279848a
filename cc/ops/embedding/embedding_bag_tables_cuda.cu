#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cc/kernels/embedding/embedding_cuda.h"
#include "cc/ops/checks.h"
#include "cc/ops/cuda_stream.h"
#include "cc/ops/embedding/bag_arguments.h"
#include "cc/ops/embedding/packed_arguments.h"
#include "cc/ops/new_tensor.h"

// CUDA side of the embedding lookups; schemas are in schemas.cc beside this file.
namespace stepwell::ops {
namespace {

// Calls run(int32_t{}) or run(int64_t{}) by the dtype of indices and offsets.
template <typename Run>
void RunWithIndex(const char* op, const Tensor& indices, const Run& run) {
  CheckLaunch(
      op, indices.scalar_type() == ScalarType::Int ? run(int32_t{0}) : run(int64_t{0}));
}

Tensor EmbeddingBagTables(const std::vector<Tensor> weights, const Tensor indices,
                          const Tensor offsets,
                          const std::optional<Tensor> per_sample_weights,
                          const std::optional<Tensor> default_rows,
                          const std::string pooling) {
  constexpr char kOp[] = "embedding_bag_tables";
  const Pooling mode = PoolingByName(kOp, pooling);
  int64_t output_dim = 0;
  const std::vector<EmbeddingTable> tables =
      TablesOf(kOp, weights, default_rows, mode, output_dim);
  CheckLookups(kOp, weights[0], indices, offsets, per_sample_weights);
  const int64_t batch = BatchOf(kOp, static_cast<int64_t>(tables.size()), offsets);
  const CudaScope scope(weights[0]);
  Tensor output =
      NewEmpty(kOp, weights[0], {OutputRows(mode, batch, indices), output_dim});
  void* to = output.data_ptr();
  RunWithIndex(kOp, indices, [&](auto index) {
    return kernels::cuda::EmbeddingBagForward(
        BagsOf<decltype(index)>(tables, indices, offsets, per_sample_weights,
                                output_dim, mode, tables[0].format),
        to, scope.stream());
  });
  return output;
}

std::vector<Tensor> EmbeddingBagTablesBackward(
    const Tensor grad, const std::vector<Tensor> weights, const Tensor indices,
    const Tensor offsets, const std::optional<Tensor> per_sample_weights,
    const std::optional<Tensor> default_rows, const std::string pooling) {
  constexpr char kOp[] = "embedding_bag_tables_backward";
  const Pooling mode = PoolingByName(kOp, pooling);
  int64_t output_dim = 0;
  const std::vector<EmbeddingTable> tables =
      TablesOf(kOp, weights, default_rows, mode, output_dim);
  CheckLookups(kOp, weights[0], indices, offsets, per_sample_weights);
  const int64_t batch = BatchOf(kOp, static_cast<int64_t>(tables.size()), offsets);
  CheckOutputGrad(kOp, grad, weights[0], OutputRows(mode, batch, indices), output_dim);
  const CudaScope scope(weights[0]);
  std::vector<Tensor> table_grads;
  std::vector<float*> pointers;
  for (const Tensor& weight : weights) {
    table_grads.push_back(NewZeros(kOp, grad, {weight.size(0), weight.size(1)}));
    pointers.push_back(static_cast<float*>(table_grads.back().data_ptr()));
  }
  const float* from = static_cast<const float*>(grad.data_ptr());
  RunWithIndex(kOp, indices, [&](auto index) {
    return kernels::cuda::EmbeddingBagBackward(
        BagsOf<decltype(index)>(tables, indices, offsets, per_sample_weights,
                                output_dim, mode),
        from, pointers.data(), scope.stream());
  });
  return table_grads;
}

Tensor EmbeddingBagTablesWeightsBackward(const Tensor grad,
                                         const std::vector<Tensor> weights,
                                         const Tensor indices, const Tensor offsets,
                                         const std::optional<Tensor> default_rows,
                                         const std::string pooling) {
  constexpr char kOp[] = "embedding_bag_tables_weights_backward";
  const Pooling mode = PoolingByName(kOp, pooling);
  int64_t output_dim = 0;
  const std::vector<EmbeddingTable> tables =
      TablesOf(kOp, weights, default_rows, mode, output_dim);
  CheckLookups(kOp, weights[0], indices, offsets, std::nullopt);
  const int64_t batch = BatchOf(kOp, static_cast<int64_t>(tables.size()), offsets);
  CheckOutputGrad(kOp, grad, weights[0], OutputRows(mode, batch, indices), output_dim);
  const CudaScope scope(weights[0]);
  Tensor weights_grad = NewEmpty(kOp, grad, {indices.size(0)});
  const float* from = static_cast<const float*>(grad.data_ptr());
  float* to = static_cast<float*>(weights_grad.data_ptr());
  RunWithIndex(kOp, indices, [&](auto index) {
    return kernels::cuda::EmbeddingBagWeightsBackward(
        BagsOf<decltype(index)>(tables, indices, offsets, std::nullopt, output_dim,
                                mode),
        from, to, scope.stream());
  });
  return weights_grad;
}

Tensor EmbeddingBagPacked(const Tensor rows, const Tensor layout, const Tensor indices,
                          const Tensor offsets,
                          const std::optional<Tensor> per_sample_weights,
                          int64_t output_dim, const std::string pooling,
                          const std::string output_dtype) {
  constexpr char kOp[] = "embedding_bag_packed";
  const Pooling mode = PoolingByName(kOp, pooling);
  const ScalarType dtype = OutputDtypeByName(kOp, output_dtype);
  const std::vector<EmbeddingTable> tables =
      PackedTablesOf(kOp, rows, layout, mode, output_dim);
  CheckLookups(kOp, rows, indices, offsets, per_sample_weights);
  const int64_t batch = BatchOf(kOp, static_cast<int64_t>(tables.size()), offsets);
  const CudaScope scope(rows);
  Tensor output =
      NewEmpty(kOp, rows, {OutputRows(mode, batch, indices), output_dim}, dtype);
  void* to = output.data_ptr();
  const RowFormat format = FloatFormatOf(kOp, "output_dtype", dtype);
  RunWithIndex(kOp, indices, [&](auto index) {
    return kernels::cuda::EmbeddingBagForward(
        BagsOf<decltype(index)>(tables, indices, offsets, per_sample_weights,
                                output_dim, mode, format),
        to, scope.stream());
  });
  return output;
}

STABLE_TORCH_LIBRARY_IMPL(stepwell, STEPWELL_CUDA_DISPATCH_KEY, m) {
  m.impl("embedding_bag_tables", TORCH_BOX(&EmbeddingBagTables));
  m.impl("embedding_bag_tables_backward", TORCH_BOX(&EmbeddingBagTablesBackward));
  m.impl("embedding_bag_tables_weights_backward",
         TORCH_BOX(&EmbeddingBagTablesWeightsBackward));
  m.impl("embedding_bag_packed", TORCH_BOX(&EmbeddingBagPacked));
}

}  // namespace
}  // namespace stepwell::ops
