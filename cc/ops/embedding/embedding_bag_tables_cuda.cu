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

// CUDA side of the embedding ops; schemas are in schemas.cc beside this file.
namespace stepwell::ops {
namespace {

Tensor EmbeddingBagTables(const std::vector<Tensor> weights, const Tensor indices,
                          const Tensor offsets,
                          const std::optional<Tensor> per_sample_weights,
                          const std::string pooling) {
  constexpr char kOp[] = "embedding_bag_tables";
  int64_t output_dim = 0;
  const std::vector<EmbeddingTable> tables = TablesOf(kOp, weights, output_dim);
  CheckLookups(kOp, weights[0], indices, offsets, per_sample_weights);
  const int64_t batch = BatchOf(kOp, static_cast<int64_t>(tables.size()), offsets);
  const Pooling mode = PoolingByName(kOp, pooling);
  const CudaScope scope(weights[0]);
  Tensor output = torch::stable::new_empty(weights[0], {batch, output_dim});
  float* out = static_cast<float*>(output.data_ptr());
  const auto run = [&](auto index) {
    return kernels::EmbeddingBagForwardCuda(
        BagsOf<decltype(index)>(tables, indices, offsets, per_sample_weights,
                                output_dim, mode),
        out, scope.stream());
  };
  CheckLaunch(kOp, indices.scalar_type() == ScalarType::Int ? run(int32_t{0})
                                                            : run(int64_t{0}));
  return output;
}

std::vector<Tensor> EmbeddingBagTablesBackward(
    const Tensor grad, const std::vector<Tensor> weights, const Tensor indices,
    const Tensor offsets, const std::optional<Tensor> per_sample_weights,
    const std::string pooling) {
  constexpr char kOp[] = "embedding_bag_tables_backward";
  int64_t output_dim = 0;
  const std::vector<EmbeddingTable> tables = TablesOf(kOp, weights, output_dim);
  CheckLookups(kOp, weights[0], indices, offsets, per_sample_weights);
  const int64_t batch = BatchOf(kOp, static_cast<int64_t>(tables.size()), offsets);
  CheckOutputGrad(kOp, grad, weights[0], batch, output_dim);
  const Pooling mode = PoolingByName(kOp, pooling);
  const CudaScope scope(weights[0]);
  std::vector<Tensor> table_grads;
  std::vector<float*> pointers;
  for (const Tensor& weight : weights) {
    table_grads.push_back(
        torch::stable::new_zeros(weight, {weight.size(0), weight.size(1)}));
    pointers.push_back(static_cast<float*>(table_grads.back().data_ptr()));
  }
  const float* from = static_cast<const float*>(grad.data_ptr());
  const auto run = [&](auto index) {
    return kernels::EmbeddingBagBackwardCuda(
        BagsOf<decltype(index)>(tables, indices, offsets, per_sample_weights,
                                output_dim, mode),
        from, pointers.data(), scope.stream());
  };
  CheckLaunch(kOp, indices.scalar_type() == ScalarType::Int ? run(int32_t{0})
                                                            : run(int64_t{0}));
  return table_grads;
}

Tensor EmbeddingBagTablesWeightsBackward(const Tensor grad,
                                         const std::vector<Tensor> weights,
                                         const Tensor indices, const Tensor offsets,
                                         const std::string pooling) {
  constexpr char kOp[] = "embedding_bag_tables_weights_backward";
  int64_t output_dim = 0;
  const std::vector<EmbeddingTable> tables = TablesOf(kOp, weights, output_dim);
  CheckLookups(kOp, weights[0], indices, offsets, std::nullopt);
  const int64_t batch = BatchOf(kOp, static_cast<int64_t>(tables.size()), offsets);
  CheckOutputGrad(kOp, grad, weights[0], batch, output_dim);
  const Pooling mode = PoolingByName(kOp, pooling);
  const CudaScope scope(weights[0]);
  Tensor weights_grad = torch::stable::new_empty(grad, {indices.size(0)});
  const float* from = static_cast<const float*>(grad.data_ptr());
  float* to = static_cast<float*>(weights_grad.data_ptr());
  const auto run = [&](auto index) {
    return kernels::EmbeddingBagWeightsBackwardCuda(
        BagsOf<decltype(index)>(tables, indices, offsets, std::nullopt, output_dim,
                                mode),
        from, to, scope.stream());
  };
  CheckLaunch(kOp, indices.scalar_type() == ScalarType::Int ? run(int32_t{0})
                                                            : run(int64_t{0}));
  return weights_grad;
}

STABLE_TORCH_LIBRARY_IMPL(stepwell, CUDA, m) {
  m.impl("embedding_bag_tables", TORCH_BOX(&EmbeddingBagTables));
  m.impl("embedding_bag_tables_backward", TORCH_BOX(&EmbeddingBagTablesBackward));
  m.impl("embedding_bag_tables_weights_backward",
         TORCH_BOX(&EmbeddingBagTablesWeightsBackward));
}

}  // namespace
}  // namespace stepwell::ops
