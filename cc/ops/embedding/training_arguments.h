#ifndef CC_OPS_EMBEDDING_TRAINING_ARGUMENTS_H_
#define CC_OPS_EMBEDDING_TRAINING_ARGUMENTS_H_

#include <torch/csrc/stable/tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cc/ops/checks.h"

// Argument checks of the ops that train tables. Header-only, for the CPU and the CUDA
// library.
namespace stepwell::ops {

// How the entries of the tables lie in the gradient of an embedding_bag_tables call.
struct EntryLayout {
  int64_t batch = 0;
  int64_t width = 0;  // columns of the gradient
  bool pools = true;  // false: one row of the gradient is one entry
  bool is_mean = false;
};

inline void CheckInteger(const char* op, const std::string& name,
                         const Tensor& tensor) {
  const ScalarType dtype = tensor.scalar_type();
  STEPWELL_OP_CHECK(dtype == ScalarType::Int || dtype == ScalarType::Long, op, ": ",
                    name, " must be int32 or int64, got ", DtypeName(dtype));
}

inline void CheckPooling(const char* op, const std::string& pooling) {
  STEPWELL_OP_CHECK(pooling == "sum" || pooling == "mean" || pooling == "none", op,
                    ": pooling must be \"sum\", \"mean\" or \"none\", got \"", pooling,
                    "\"");
}

// Checks `dims` and returns the width of the gradient that they make.
inline int64_t GradWidth(const char* op, const std::vector<int64_t>& dims, bool pools) {
  STEPWELL_OP_CHECK(!dims.empty(), op, ": dims must name at least one table, got 0");
  int64_t width = 0;
  for (size_t t = 0; t < dims.size(); ++t) {
    STEPWELL_OP_CHECK(dims[t] > 0 && dims[t] < int64_t{1} << 31, op, ": dims[", t,
                      "] must be in [1, 2^31), got ", dims[t]);
    STEPWELL_OP_CHECK(pools || dims[t] == dims[0], op, ": dims[", t, "] is ", dims[t],
                      ", must be that of table 0, ", dims[0], ", for pooling none");
    width = pools ? width + dims[t] : dims[0];
  }
  return width;
}

inline EntryLayout CheckEntryArguments(const char* op, const Tensor& grad,
                                       const std::vector<int64_t>& dims,
                                       const Tensor& offsets,
                                       const std::string& pooling) {
  CheckPooling(op, pooling);
  CheckFloatTensor(op, "grad", grad, 2, grad);
  CheckRank(op, "offsets", offsets, 1);
  CheckInteger(op, "offsets", offsets);
  CheckContiguous(op, "offsets", offsets);
  CheckDevice(op, "offsets", offsets, grad);
  EntryLayout layout;
  layout.pools = pooling != "none";
  layout.is_mean = pooling == "mean";
  layout.width = GradWidth(op, dims, layout.pools);
  const int64_t num_tables = static_cast<int64_t>(dims.size());
  const int64_t num_bags = offsets.size(0) - 1;
  STEPWELL_OP_CHECK(num_bags >= 0 && num_bags % num_tables == 0, op,
                    ": offsets must hold T * B + 1 numbers for T = ", num_tables,
                    " tables, got ", offsets.size(0));
  layout.batch = num_bags / num_tables;
  if (layout.pools) CheckSize(op, "grad", grad, 0, layout.batch);
  CheckSize(op, "grad", grad, 1, layout.width);
  return layout;
}

// The number of entries is known once offsets are read.
inline void CheckEntryCount(const char* op, const Tensor& grad,
                            const EntryLayout& layout, int64_t num_entries,
                            const std::optional<Tensor>& per_sample_weights) {
  if (!layout.pools) CheckSize(op, "grad", grad, 0, num_entries);
  if (!per_sample_weights.has_value()) return;
  CheckFloatTensor(op, "per_sample_weights", *per_sample_weights, 1, grad);
  CheckSize(op, "per_sample_weights", *per_sample_weights, 0, num_entries);
}

inline void CheckAdagradArguments(const char* op, const Tensor& table,
                                  const Tensor& moments, const Tensor& row_ids,
                                  const Tensor& grads, double lr, double eps) {
  CheckFloatTensor(op, "table", table, 2, table);
  STEPWELL_OP_CHECK(table.size(1) > 0, op,
                    ": table must have at least 1 column, got 0");
  CheckFloatTensor(op, "moments", moments, 1, table);
  CheckSize(op, "moments", moments, 0, table.size(0));
  CheckRank(op, "row_ids", row_ids, 1);
  CheckInteger(op, "row_ids", row_ids);
  CheckContiguous(op, "row_ids", row_ids);
  CheckDevice(op, "row_ids", row_ids, table);
  CheckFloatTensor(op, "grads", grads, 2, table);
  CheckSize(op, "grads", grads, 0, row_ids.size(0));
  CheckSize(op, "grads", grads, 1, table.size(1));
  constexpr double kMaxFloat = 3.4028234e38;
  STEPWELL_OP_CHECK(lr >= 0.0 && lr <= kMaxFloat, op,
                    ": lr must be finite and >= 0, got ", lr);
  // Far below, lr / eps is no float32: a gradient of zero would make a row NaN.
  constexpr double kMinEps = 1e-30;
  STEPWELL_OP_CHECK(eps >= kMinEps && eps <= kMaxFloat, op,
                    ": eps must be finite and >= 1e-30, got ", eps);
}

}  // namespace stepwell::ops

#endif  // CC_OPS_EMBEDDING_TRAINING_ARGUMENTS_H_
