#ifndef CC_OPS_EMBEDDING_BAG_ARGUMENTS_H_
#define CC_OPS_EMBEDDING_BAG_ARGUMENTS_H_

#include <torch/csrc/stable/tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cc/kernels/embedding/embedding.h"
#include "cc/kernels/embedding/row_format.h"
#include "cc/ops/checks.h"

// From the tensors of an embedding op to the structs of its kernels. Header-only, for
// the CPU and the CUDA library.
namespace stepwell::ops {

using kernels::EmbeddingBags;
using kernels::EmbeddingTable;
using kernels::Pooling;
using kernels::RowFormat;

inline Pooling PoolingByName(const char* op, const std::string& name) {
  if (name == "sum") return Pooling::kSum;
  if (name == "mean") return Pooling::kMean;
  STEPWELL_OP_CHECK(name == "none", op,
                    ": pooling must be \"sum\", \"mean\" or \"none\", got \"", name,
                    "\"");
  return Pooling::kNone;
}

inline RowFormat FloatFormatOf(const char* op, const std::string& name,
                               ScalarType dtype) {
  if (dtype == ScalarType::Half) return RowFormat::kFloat16;
  if (dtype == ScalarType::BFloat16) return RowFormat::kBfloat16;
  STEPWELL_OP_CHECK(dtype == ScalarType::Float, op, ": ", name,
                    " must be float32, float16 or bfloat16, got ", DtypeName(dtype));
  return RowFormat::kFloat32;
}

// Checks the tables' default rows and returns them, or null for rows of zeros.
inline const int64_t* DefaultRowsOf(const char* op,
                                    const std::optional<Tensor>& default_rows,
                                    const std::vector<Tensor>& weights) {
  if (!default_rows.has_value()) return nullptr;
  CheckRank(op, "default_rows", *default_rows, 1);
  STEPWELL_OP_CHECK(default_rows->scalar_type() == ScalarType::Long, op,
                    ": default_rows must be int64, got ",
                    DtypeName(default_rows->scalar_type()));
  STEPWELL_OP_CHECK(default_rows->is_cpu(), op, ": default_rows must be on the CPU");
  CheckContiguous(op, "default_rows", *default_rows);
  CheckSize(op, "default_rows", *default_rows, 0, static_cast<int64_t>(weights.size()));
  return static_cast<const int64_t*>(default_rows->data_ptr());
}

inline EmbeddingTable TableOf(const char* op, size_t number, const Tensor& weight,
                              const Tensor& first, RowFormat format) {
  const std::string name = "weights[" + std::to_string(number) + "]";
  CheckRank(op, name, weight, 2);
  const ScalarType dtype = weight.scalar_type();
  STEPWELL_OP_CHECK(dtype == first.scalar_type(), op, ": ", name,
                    " must have the dtype of weights[0], ",
                    DtypeName(first.scalar_type()), ", got ", DtypeName(dtype));
  CheckContiguous(op, name, weight);
  CheckDevice(op, name, weight, first);
  const int64_t dim = weight.size(1);
  STEPWELL_OP_CHECK(dim > 0 && dim <= kernels::kMaxRowDim, op, ": ", name,
                    " must have at least 1 column and at most 2^32, got ", dim);
  return {weight.data_ptr(), weight.size(0), dim, 0, format, -1};
}

// Gives each table its place in the output and returns the output's width.
inline int64_t PlaceInOutput(const char* op, Pooling pooling,
                             std::vector<EmbeddingTable>& tables) {
  int64_t width = 0;
  for (size_t t = 0; t < tables.size(); ++t) {
    if (pooling == Pooling::kNone) {
      STEPWELL_OP_CHECK(tables[t].dim == tables[0].dim, op, ": table ", t, " has ",
                        tables[t].dim, " columns, must have those of table 0, ",
                        tables[0].dim, ", for pooling none");
      width = tables[0].dim;
    } else {
      tables[t].output_column = width;
      width += tables[t].dim;
    }
  }
  return width;
}

// Returns the tables side by side in the output; `output_dim` receives their width.
inline std::vector<EmbeddingTable> TablesOf(const char* op,
                                            const std::vector<Tensor>& weights,
                                            const std::optional<Tensor>& default_rows,
                                            Pooling pooling, int64_t& output_dim) {
  STEPWELL_OP_CHECK(!weights.empty(), op,
                    ": weights must hold at least one table, got 0");
  const RowFormat format = FloatFormatOf(op, "weights", weights[0].scalar_type());
  const int64_t* defaults = DefaultRowsOf(op, default_rows, weights);
  std::vector<EmbeddingTable> tables;
  tables.reserve(weights.size());
  for (size_t t = 0; t < weights.size(); ++t) {
    tables.push_back(TableOf(op, t, weights[t], weights[0], format));
    if (defaults == nullptr) continue;
    STEPWELL_OP_CHECK(defaults[t] >= -1 && defaults[t] < tables[t].num_rows, op,
                      ": default_rows[", t, "] is ", defaults[t], ", must be in [-1, ",
                      tables[t].num_rows - 1, "]");
    tables[t].default_row = defaults[t];
  }
  output_dim = PlaceInOutput(op, pooling, tables);
  return tables;
}

inline void CheckLookups(const char* op, const Tensor& first, const Tensor& indices,
                         const Tensor& offsets,
                         const std::optional<Tensor>& per_sample_weights) {
  CheckRank(op, "indices", indices, 1);
  CheckRank(op, "offsets", offsets, 1);
  const ScalarType dtype = indices.scalar_type();
  STEPWELL_OP_CHECK(dtype == ScalarType::Int || dtype == ScalarType::Long, op,
                    ": indices must be int32 or int64, got ", DtypeName(dtype));
  STEPWELL_OP_CHECK(offsets.scalar_type() == dtype, op,
                    ": offsets must have the dtype of indices, ", DtypeName(dtype),
                    ", got ", DtypeName(offsets.scalar_type()));
  CheckContiguous(op, "indices", indices);
  CheckContiguous(op, "offsets", offsets);
  CheckDevice(op, "indices", indices, first);
  CheckDevice(op, "offsets", offsets, first);
  // Of no bag no entry is written, and without pooling an entry is a row of the output.
  STEPWELL_OP_CHECK(offsets.size(0) != 1 || indices.size(0) == 0, op,
                    ": indices must be empty where offsets holds one number, B = 0, "
                    "got ",
                    indices.size(0));
  if (!per_sample_weights.has_value()) return;
  CheckFloatTensor(op, "per_sample_weights", *per_sample_weights, 1, first);
  CheckSize(op, "per_sample_weights", *per_sample_weights, 0, indices.size(0));
}

// Returns B from the length of offsets, T * B + 1.
inline int64_t BatchOf(const char* op, int64_t num_tables, const Tensor& offsets) {
  const int64_t num_bags = offsets.size(0) - 1;
  STEPWELL_OP_CHECK(num_bags >= 0 && num_bags % num_tables == 0, op,
                    ": offsets must hold T * B + 1 numbers for T = ", num_tables,
                    " tables, got ", offsets.size(0));
  return num_bags / num_tables;
}

template <typename Index>
EmbeddingBags<Index> BagsOf(const std::vector<EmbeddingTable>& tables,
                            const Tensor& indices, const Tensor& offsets,
                            const std::optional<Tensor>& per_sample_weights,
                            int64_t output_dim, Pooling pooling,
                            RowFormat output_format = RowFormat::kFloat32) {
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
          pooling,
          output_format};
}

// Rows of the output: one a sample, or one an entry without pooling.
inline int64_t OutputRows(Pooling pooling, int64_t batch, const Tensor& indices) {
  return pooling == Pooling::kNone ? indices.size(0) : batch;
}

inline void CheckOutputGrad(const char* op, const Tensor& grad, const Tensor& first,
                            int64_t num_rows, int64_t output_dim) {
  CheckFloatTensor(op, "grad", grad, 2, first);
  CheckSize(op, "grad", grad, 0, num_rows);
  CheckSize(op, "grad", grad, 1, output_dim);
}

}  // namespace stepwell::ops

#endif  // CC_OPS_EMBEDDING_BAG_ARGUMENTS_H_
