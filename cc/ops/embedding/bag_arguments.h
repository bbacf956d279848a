#ifndef CC_OPS_EMBEDDING_BAG_ARGUMENTS_H_
#define CC_OPS_EMBEDDING_BAG_ARGUMENTS_H_

#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/util/Exception.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cc/kernels/embedding/embedding.h"
#include "cc/ops/checks.h"

// From the tensors of an embedding op to the structs of its kernels. Header-only, for
// the CPU and the CUDA library.
namespace stepwell::ops {

using kernels::EmbeddingBags;
using kernels::EmbeddingTable;
using kernels::Pooling;

inline Pooling PoolingByName(const char* op, const std::string& name) {
  if (name == "sum") return Pooling::kSum;
  STD_TORCH_CHECK(name == "mean", op, ": pooling must be \"sum\" or \"mean\", got \"",
                  name, "\"");
  return Pooling::kMean;
}

// Returns the tables side by side in the output; `output_dim` receives their width.
inline std::vector<EmbeddingTable> TablesOf(const char* op,
                                            const std::vector<Tensor>& weights,
                                            int64_t& output_dim) {
  STD_TORCH_CHECK(!weights.empty(), op,
                  ": weights must hold at least one table, got 0");
  std::vector<EmbeddingTable> tables;
  tables.reserve(weights.size());
  output_dim = 0;
  for (size_t t = 0; t < weights.size(); ++t) {
    const std::string name = "weights[" + std::to_string(t) + "]";
    CheckFloatTensor(op, name, weights[t], 2, weights[0]);
    const int64_t dim = weights[t].size(1);
    STD_TORCH_CHECK(dim > 0, op, ": ", name, " must have at least 1 column, got 0");
    tables.push_back({static_cast<const float*>(weights[t].data_ptr()),
                      weights[t].size(0), dim, output_dim});
    output_dim += dim;
  }
  return tables;
}

inline void CheckLookups(const char* op, const Tensor& first, const Tensor& indices,
                         const Tensor& offsets,
                         const std::optional<Tensor>& per_sample_weights) {
  CheckRank(op, "indices", indices, 1);
  CheckRank(op, "offsets", offsets, 1);
  const ScalarType dtype = indices.scalar_type();
  STD_TORCH_CHECK(dtype == ScalarType::Int || dtype == ScalarType::Long, op,
                  ": indices must be int32 or int64, got ", DtypeName(dtype));
  STD_TORCH_CHECK(offsets.scalar_type() == dtype, op,
                  ": offsets must have the dtype of indices, ", DtypeName(dtype),
                  ", got ", DtypeName(offsets.scalar_type()));
  CheckContiguous(op, "indices", indices);
  CheckContiguous(op, "offsets", offsets);
  CheckDevice(op, "indices", indices, first);
  CheckDevice(op, "offsets", offsets, first);
  if (!per_sample_weights.has_value()) return;
  CheckFloatTensor(op, "per_sample_weights", *per_sample_weights, 1, first);
  CheckSize(op, "per_sample_weights", *per_sample_weights, 0, indices.size(0));
}

// Returns B from the length of offsets, T * B + 1.
inline int64_t BatchOf(const char* op, int64_t num_tables, const Tensor& offsets) {
  const int64_t num_bags = offsets.size(0) - 1;
  STD_TORCH_CHECK(num_bags >= 0 && num_bags % num_tables == 0, op,
                  ": offsets must hold T * B + 1 numbers for T = ", num_tables,
                  " tables, got ", offsets.size(0));
  return num_bags / num_tables;
}

template <typename Index>
EmbeddingBags<Index> BagsOf(const std::vector<EmbeddingTable>& tables,
                            const Tensor& indices, const Tensor& offsets,
                            const std::optional<Tensor>& per_sample_weights,
                            int64_t output_dim, Pooling pooling) {
  const int64_t num_tables = static_cast<int64_t>(tables.size());
  const float* entry_weights =
      per_sample_weights.has_value()
          ? static_cast<const float*>(per_sample_weights->data_ptr())
          : nullptr;
  return {tables.data(),
          num_tables,
          static_cast<const Index*>(indices.data_ptr()),
          indices.size(0),
          static_cast<const Index*>(offsets.data_ptr()),
          entry_weights,
          (offsets.size(0) - 1) / num_tables,
          output_dim,
          pooling};
}

inline void CheckOutputGrad(const char* op, const Tensor& grad, const Tensor& first,
                            int64_t batch, int64_t output_dim) {
  CheckFloatTensor(op, "grad", grad, 2, first);
  CheckSize(op, "grad", grad, 0, batch);
  CheckSize(op, "grad", grad, 1, output_dim);
}

}  // namespace stepwell::ops

#endif  // CC_OPS_EMBEDDING_BAG_ARGUMENTS_H_
