#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "cc/kernels/embedding/embedding.h"
#include "cc/ops/checks.h"
#include "cc/ops/embedding/bag_arguments.h"

// CPU side of the embedding ops; their schemas are in schemas.cc beside this file and their
// meaning is documented in py/stepwell/ops/embedding_bag_tables.py.
namespace stepwell::ops {
namespace {

using kernels::EmbeddingFault;

// Floats gathered that are worth handing to another thread: about 20 us of work.
constexpr int64_t kFloatsPerTask = 1 << 16;

// Keeps the fault of the lowest position, so that the error is the same however the
// bags were split.
class FaultCollector {
 public:
  void Add(const EmbeddingFault& fault) {
    if (fault.ok()) return;
    const std::lock_guard<std::mutex> lock(mutex_);
    if (first_.ok() || fault.table < first_.table ||
        (fault.table == first_.table && fault.position < first_.position)) {
      first_ = fault;
    }
  }

  void ThrowIfAny(const char* op, const std::vector<EmbeddingTable>& tables,
                  int64_t num_indices) const {
    if (first_.ok()) return;
    if (first_.kind == EmbeddingFault::Kind::kIndex) {
      STD_TORCH_CHECK(false, op, ": indices[", first_.position, "] is ", first_.value,
                      ", must be in [-1, ", tables[first_.table].num_rows - 1,
                      "] for table ", first_.table);
    }
    STD_TORCH_CHECK(false, op, ": offsets[", first_.position, "] is ", first_.value,
                    " (table ", first_.table, "); offsets must start at 0, never fall ",
                    "and stay in [0, ", num_indices, "]");
  }

 private:
  std::mutex mutex_;
  EmbeddingFault first_;
};

// Bags per task such that a task gathers about kFloatsPerTask floats.
int64_t BagsPerTask(int64_t num_bags, int64_t num_indices, int64_t mean_dim) {
  const int64_t floats = num_indices * mean_dim;
  if (floats <= kFloatsPerTask || num_bags == 0) return num_bags + 1;
  const int64_t bags = num_bags * kFloatsPerTask / floats;
  return bags > 0 ? bags : 1;
}

void CheckLastOffset(const char* op, int64_t last, int64_t num_indices) {
  STD_TORCH_CHECK(last == num_indices, op, ": offsets[-1] is ", last,
                  ", must be the number of indices, ", num_indices);
}

template <typename Index>
void RunForward(const char* op, const EmbeddingBags<Index>& bags,
                const std::vector<EmbeddingTable>& tables, float* output) {
  const int64_t num_bags = bags.num_tables * bags.batch;
  CheckLastOffset(op, bags.offsets[num_bags], bags.num_indices);
  const int64_t mean_dim = bags.output_stride / bags.num_tables + 1;
  FaultCollector faults;
  torch::stable::parallel_for(
      0, num_bags, BagsPerTask(num_bags, bags.num_indices, mean_dim),
      [&](int64_t first, int64_t last) {
        faults.Add(kernels::EmbeddingBagForward(bags, first, last, output));
      });
  faults.ThrowIfAny(op, tables, bags.num_indices);
}

template <typename Index>
void RunBackward(const char* op, const EmbeddingBags<Index>& bags,
                 const std::vector<EmbeddingTable>& tables, const float* grad,
                 const std::vector<Tensor>& table_grads) {
  CheckLastOffset(op, bags.offsets[bags.num_tables * bags.batch], bags.num_indices);
  FaultCollector faults;
  const int64_t floats = bags.num_indices * (bags.output_stride / bags.num_tables + 1);
  const int64_t tables_per_task = floats <= kFloatsPerTask ? bags.num_tables + 1 : 1;
  torch::stable::parallel_for(
      0, bags.num_tables, tables_per_task, [&](int64_t first, int64_t last) {
        for (int64_t table = first; table < last; ++table) {
          float* table_grad = static_cast<float*>(table_grads[table].data_ptr());
          faults.Add(kernels::EmbeddingBagBackward(bags, table, grad, table_grad));
        }
      });
  faults.ThrowIfAny(op, tables, bags.num_indices);
}

template <typename Index>
void RunWeightsBackward(const char* op, const EmbeddingBags<Index>& bags,
                        const std::vector<EmbeddingTable>& tables, const float* grad,
                        float* weights_grad) {
  const int64_t num_bags = bags.num_tables * bags.batch;
  CheckLastOffset(op, bags.offsets[num_bags], bags.num_indices);
  const int64_t mean_dim = bags.output_stride / bags.num_tables + 1;
  FaultCollector faults;
  torch::stable::parallel_for(0, num_bags,
                              BagsPerTask(num_bags, bags.num_indices, mean_dim),
                              [&](int64_t first, int64_t last) {
                                faults.Add(kernels::EmbeddingBagWeightsBackward(
                                    bags, first, last, grad, weights_grad));
                              });
  faults.ThrowIfAny(op, tables, bags.num_indices);
}

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
  Tensor output = torch::stable::new_empty(weights[0], {batch, output_dim});
  float* out = static_cast<float*>(output.data_ptr());
  if (indices.scalar_type() == ScalarType::Int) {
    RunForward(
        kOp,
        BagsOf<int32_t>(tables, indices, offsets, per_sample_weights, output_dim, mode),
        tables, out);
  } else {
    RunForward(
        kOp,
        BagsOf<int64_t>(tables, indices, offsets, per_sample_weights, output_dim, mode),
        tables, out);
  }
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
  std::vector<Tensor> table_grads;
  table_grads.reserve(weights.size());
  for (const Tensor& weight : weights) {
    table_grads.push_back(
        torch::stable::new_zeros(weight, {weight.size(0), weight.size(1)}));
  }
  const float* from = static_cast<const float*>(grad.data_ptr());
  if (indices.scalar_type() == ScalarType::Int) {
    RunBackward(
        kOp,
        BagsOf<int32_t>(tables, indices, offsets, per_sample_weights, output_dim, mode),
        tables, from, table_grads);
  } else {
    RunBackward(
        kOp,
        BagsOf<int64_t>(tables, indices, offsets, per_sample_weights, output_dim, mode),
        tables, from, table_grads);
  }
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
  Tensor weights_grad = torch::stable::new_empty(grad, {indices.size(0)});
  const float* from = static_cast<const float*>(grad.data_ptr());
  float* to = static_cast<float*>(weights_grad.data_ptr());
  if (indices.scalar_type() == ScalarType::Int) {
    RunWeightsBackward(
        kOp, BagsOf<int32_t>(tables, indices, offsets, std::nullopt, output_dim, mode),
        tables, from, to);
  } else {
    RunWeightsBackward(
        kOp, BagsOf<int64_t>(tables, indices, offsets, std::nullopt, output_dim, mode),
        tables, from, to);
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
