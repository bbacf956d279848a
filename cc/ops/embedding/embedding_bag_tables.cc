#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cc/kernels/embedding/embedding.h"
#include "cc/ops/checks.h"
#include "cc/ops/embedding/bag_arguments.h"
#include "cc/ops/embedding/bag_forward.h"
#include "cc/ops/new_tensor.h"

// CPU side of the embedding ops; their schemas are in schemas.cc beside this file and
// their meaning is documented in py/stepwell/ops/embedding_bag_tables.py.
namespace stepwell::ops {
namespace {

template <typename Index>
void RunBackward(const char* op, const EmbeddingBags<Index>& bags, const float* grad,
                 const std::vector<Tensor>& table_grads) {
  CheckLastOffset(op, bags);
  FaultCollector faults;
  const double bytes =
      static_cast<double>(bags.num_indices) * static_cast<double>(MeanRowBytes(bags));
  const int64_t tables_per_task = bytes <= kBytesPerTask ? bags.num_tables + 1 : 1;
  torch::stable::parallel_for(
      0, bags.num_tables, tables_per_task, [&](int64_t first, int64_t last) {
        for (int64_t table = first; table < last; ++table) {
          float* table_grad = static_cast<float*>(table_grads[table].data_ptr());
          faults.Add(kernels::EmbeddingBagBackward(bags, table, grad, table_grad));
        }
      });
  faults.ThrowIfAny(op, bags.tables, bags.num_indices);
}

template <typename Index>
void RunWeightsBackward(const char* op, const EmbeddingBags<Index>& bags,
                        const float* grad, float* weights_grad) {
  RunBags(op, bags, [&](int64_t first, int64_t last) {
    return kernels::EmbeddingBagWeightsBackward(bags, first, last, grad, weights_grad);
  });
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
  Tensor output =
      NewEmpty(kOp, weights[0], {OutputRows(mode, batch, indices), output_dim});
  void* to = output.data_ptr();
  const auto run = [&](auto index) {
    RunForward(kOp,
               BagsOf<decltype(index)>(tables, indices, offsets, per_sample_weights,
                                       output_dim, mode, tables[0].format),
               to);
  };
  if (indices.scalar_type() == ScalarType::Int) {
    run(int32_t{0});
  } else {
    run(int64_t{0});
  }
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
  std::vector<Tensor> table_grads;
  table_grads.reserve(weights.size());
  for (const Tensor& weight : weights) {
    table_grads.push_back(NewZeros(kOp, grad, {weight.size(0), weight.size(1)}));
  }
  const float* from = static_cast<const float*>(grad.data_ptr());
  const auto run = [&](auto index) {
    RunBackward(kOp,
                BagsOf<decltype(index)>(tables, indices, offsets, per_sample_weights,
                                        output_dim, mode),
                from, table_grads);
  };
  if (indices.scalar_type() == ScalarType::Int) {
    run(int32_t{0});
  } else {
    run(int64_t{0});
  }
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
  Tensor weights_grad = NewEmpty(kOp, grad, {indices.size(0)});
  const float* from = static_cast<const float*>(grad.data_ptr());
  float* to = static_cast<float*>(weights_grad.data_ptr());
  const auto run = [&](auto index) {
    RunWeightsBackward(kOp,
                       BagsOf<decltype(index)>(tables, indices, offsets, std::nullopt,
                                               output_dim, mode),
                       from, to);
  };
  if (indices.scalar_type() == ScalarType::Int) {
    run(int32_t{0});
  } else {
    run(int64_t{0});
  }
  return weights_grad;
}

STABLE_TORCH_LIBRARY_IMPL(stepwell, CPU, m) {
  m.impl("embedding_bag_tables", TORCH_BOX(&EmbeddingBagTables));
  m.impl("embedding_bag_tables_backward", TORCH_BOX(&EmbeddingBagTablesBackward));
  m.impl("embedding_bag_tables_weights_backward",
         TORCH_BOX(&EmbeddingBagTablesWeightsBackward));
}

}  // namespace
}  // namespace stepwell::ops
