#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <cstdint>
#include <mutex>
#include <string>

#include "cc/kernels/embedding/quantize.h"
#include "cc/kernels/embedding/row_format.h"
#include "cc/ops/checks.h"
#include "cc/ops/embedding/packed_arguments.h"
#include "cc/ops/new_tensor.h"

// CPU side of quantize_rows and dequantize_rows; their schemas are in schemas.cc beside
// this file and their meaning is documented in py/stepwell/ops/quantize_rows.py.
namespace stepwell::ops {
namespace {

// Columns that are worth handing to another thread: some 50 us of work.
constexpr int64_t kColumnsPerTask = 1 << 16;

int64_t RowsPerTask(int64_t dim) {
  return dim < kColumnsPerTask ? kColumnsPerTask / dim : 1;
}

Tensor QuantizeRows(const Tensor rows, const std::string row_format) {
  constexpr char kOp[] = "quantize_rows";
  const RowFormat format = RowFormatByName(kOp, row_format);
  CheckFloatTensor(kOp, "rows", rows, 2, rows);
  const int64_t num_rows = rows.size(0);
  const int64_t dim = rows.size(1);
  CheckRowDim(kOp, "the number of columns", dim);
  const int64_t row_bytes = kernels::RowBytes(format, dim);
  Tensor quantised = NewEmpty(kOp, rows, {num_rows, row_bytes}, ScalarType::Byte);
  const float* from = static_cast<const float*>(rows.data_ptr());
  uint8_t* to = static_cast<uint8_t*>(quantised.data_ptr());
  std::mutex mutex;
  kernels::QuantizeFault first_fault;
  torch::stable::parallel_for(
      0, num_rows, RowsPerTask(dim), [&](int64_t first, int64_t last) {
        kernels::QuantizeFault fault = kernels::QuantizeRows(
            from + first * dim, last - first, dim, format, to + first * row_bytes);
        if (fault.ok()) return;
        fault.row += first;
        const std::lock_guard<std::mutex> lock(mutex);
        if (first_fault.ok() || fault.row < first_fault.row) first_fault = fault;
      });
  STEPWELL_OP_CHECK(
      first_fault.ok(), kOp, ": rows[", first_fault.row, ", ", first_fault.column,
      "] is ", first_fault.value, ", must be finite in ", row_format,
      kernels::IsQuantised(format) ? " and at most 2^127 above the smallest of its row"
                                   : "");
  return quantised;
}

Tensor DequantizeRows(const Tensor rows, int64_t dim, const std::string row_format) {
  constexpr char kOp[] = "dequantize_rows";
  const RowFormat format = RowFormatByName(kOp, row_format);
  CheckRank(kOp, "rows", rows, 2);
  STEPWELL_OP_CHECK(rows.scalar_type() == ScalarType::Byte, kOp,
                    ": rows must be uint8, got ", DtypeName(rows.scalar_type()));
  CheckContiguous(kOp, "rows", rows);
  CheckRowDim(kOp, "dim", dim);
  const int64_t row_bytes = kernels::RowBytes(format, dim);
  CheckSize(kOp, "rows", rows, 1, row_bytes);
  const int64_t num_rows = rows.size(0);
  Tensor values = NewEmpty(kOp, rows, {num_rows, dim}, ScalarType::Float);
  const uint8_t* from = static_cast<const uint8_t*>(rows.data_ptr());
  float* to = static_cast<float*>(values.data_ptr());
  torch::stable::parallel_for(
      0, num_rows, RowsPerTask(dim), [&](int64_t first, int64_t last) {
        kernels::DequantizeRows(from + first * row_bytes, last - first, dim, format,
                                to + first * dim);
      });
  return values;
}

STABLE_TORCH_LIBRARY_IMPL(stepwell, CPU, m) {
  m.impl("quantize_rows", TORCH_BOX(&QuantizeRows));
  m.impl("dequantize_rows", TORCH_BOX(&DequantizeRows));
}

}  // namespace
}  // namespace stepwell::ops
