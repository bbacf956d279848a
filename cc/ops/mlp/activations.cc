#include "cc/kernels/mlp/activations.h"

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <tuple>

#include "cc/ops/checks.h"
#include "cc/ops/new_tensor.h"

// CPU side of the ops between int8 layers; their schemas are in schemas.cc beside this
// file and their meaning is documented in py/stepwell/ops/activations.py.
namespace stepwell::ops {
namespace {

using kernels::ActivationRows;

// Values that are worth handing to another thread: about 20 us of work.
constexpr int64_t kValuesPerTask = 1 << 18;

const float* CheckVector(const char* op, const char* name,
                         const std::optional<Tensor>& vector, int64_t size,
                         const Tensor& values) {
  if (!vector.has_value()) return nullptr;
  CheckFloatTensor(op, name, *vector, 1, values);
  CheckSize(op, name, *vector, 0, size);
  return static_cast<const float*>(vector->data_ptr());
}

ActivationRows CheckRows(const char* op, const Tensor& values,
                         const std::optional<Tensor>& row_scales,
                         const std::optional<Tensor>& bias, bool relu) {
  CheckRank(op, "values", values, 2);
  const ScalarType dtype = values.scalar_type();
  STEPWELL_OP_CHECK(dtype == ScalarType::Float || dtype == ScalarType::BFloat16, op,
                    ": values must be float32 or bfloat16, got ", DtypeName(dtype));
  CheckContiguous(op, "values", values);
  return {values.data_ptr(),
          dtype == ScalarType::BFloat16,
          values.size(1),
          CheckVector(op, "row_scales", row_scales, values.size(0), values),
          CheckVector(op, "bias", bias, values.size(1), values),
          relu};
}

// Rows [first, first + 1, ...) of all of them.
ActivationRows RowsFrom(const ActivationRows& rows, int64_t first) {
  ActivationRows from = rows;
  const int64_t row_bytes = rows.width * (rows.is_bfloat16 ? 2 : 4);
  from.values = static_cast<const uint8_t*>(rows.values) + first * row_bytes;
  if (rows.row_scales != nullptr) from.row_scales = rows.row_scales + first;
  return from;
}

int64_t RowsPerTask(const ActivationRows& rows) {
  return rows.width < kValuesPerTask ? kValuesPerTask / (rows.width + 1) : 1;
}

std::tuple<Tensor, Tensor> QuantizeActivations(const Tensor values,
                                               const std::optional<Tensor> row_scales,
                                               const std::optional<Tensor> bias,
                                               bool relu) {
  constexpr char kOp[] = "quantize_activations";
  const ActivationRows rows = CheckRows(kOp, values, row_scales, bias, relu);
  const int64_t num_rows = values.size(0);
  Tensor codes = NewEmpty(kOp, values, {num_rows, rows.width}, ScalarType::Byte);
  Tensor scales = NewEmpty(kOp, values, {num_rows}, ScalarType::Float);
  uint8_t* to_codes = static_cast<uint8_t*>(codes.data_ptr());
  float* to_scales = static_cast<float*>(scales.data_ptr());
  torch::stable::parallel_for(
      0, num_rows, RowsPerTask(rows), [&](int64_t first, int64_t last) {
        kernels::QuantizeActivations(RowsFrom(rows, first), last - first,
                                     to_codes + first * rows.width, to_scales + first);
      });
  return {codes, scales};
}

Tensor FinishActivations(const Tensor values, const std::optional<Tensor> row_scales,
                         const std::optional<Tensor> bias, bool relu,
                         std::string output_dtype) {
  constexpr char kOp[] = "finish_activations";
  const ActivationRows rows = CheckRows(kOp, values, row_scales, bias, relu);
  const bool to_bfloat16 = output_dtype == "bfloat16";
  STEPWELL_OP_CHECK(to_bfloat16 || output_dtype == "float32", kOp,
                    ": output_dtype must be float32 or bfloat16, got ", output_dtype);
  const int64_t num_rows = values.size(0);
  Tensor output = NewEmpty(kOp, values, {num_rows, rows.width},
                           to_bfloat16 ? ScalarType::BFloat16 : ScalarType::Float);
  uint8_t* to = static_cast<uint8_t*>(output.data_ptr());
  const int64_t row_bytes = rows.width * (to_bfloat16 ? 2 : 4);
  torch::stable::parallel_for(
      0, num_rows, RowsPerTask(rows), [&](int64_t first, int64_t last) {
        kernels::FinishActivations(RowsFrom(rows, first), last - first, to_bfloat16,
                                   to + first * row_bytes);
      });
  return output;
}

STABLE_TORCH_LIBRARY_IMPL(stepwell, CPU, m) {
  m.impl("quantize_activations", TORCH_BOX(&QuantizeActivations));
  m.impl("finish_activations", TORCH_BOX(&FinishActivations));
}

}  // namespace
}  // namespace stepwell::ops
