#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <cstdint>
#include <string>

#include "cc/kernels/embedding/quantize_cuda.h"
#include "cc/kernels/embedding/row_format.h"
#include "cc/ops/checks.h"
#include "cc/ops/cuda_stream.h"
#include "cc/ops/embedding/packed_arguments.h"
#include "cc/ops/new_tensor.h"

// CUDA side of the row formats; schemas are in schemas.cc beside this file.
namespace stepwell::ops {
namespace {

Tensor QuantizeRows(const Tensor rows, const std::string row_format) {
  constexpr char kOp[] = "quantize_rows";
  const RowFormat format = RowFormatByName(kOp, row_format);
  CheckFloatTensor(kOp, "rows", rows, 2, rows);
  const int64_t num_rows = rows.size(0);
  const int64_t dim = rows.size(1);
  CheckRowDim(kOp, "the number of columns", dim);
  const CudaScope scope(rows);
  Tensor packed =
      NewEmpty(kOp, rows, {num_rows, kernels::RowBytes(format, dim)}, ScalarType::Byte);
  CheckLaunch(kOp,
              kernels::cuda::QuantizeRows(
                  static_cast<const float*>(rows.data_ptr()), num_rows, dim, format,
                  static_cast<uint8_t*>(packed.data_ptr()), scope.stream()));
  return packed;
}

Tensor DequantizeRows(const Tensor rows, int64_t dim, const std::string row_format) {
  constexpr char kOp[] = "dequantize_rows";
  const RowFormat format = RowFormatByName(kOp, row_format);
  CheckRank(kOp, "rows", rows, 2);
  STEPWELL_OP_CHECK(rows.scalar_type() == ScalarType::Byte, kOp,
                    ": rows must be uint8, got ", DtypeName(rows.scalar_type()));
  CheckContiguous(kOp, "rows", rows);
  CheckRowDim(kOp, "dim", dim);
  CheckSize(kOp, "rows", rows, 1, kernels::RowBytes(format, dim));
  const uint8_t* from = static_cast<const uint8_t*>(rows.data_ptr());
  const auto alignment = static_cast<uintptr_t>(kernels::RowAlignment(format));
  STEPWELL_OP_CHECK(reinterpret_cast<uintptr_t>(from) % alignment == 0, kOp,
                    ": rows must start at a multiple of ", alignment,
                    " bytes on CUDA; call .clone() first");
  const CudaScope scope(rows);
  Tensor values = NewEmpty(kOp, rows, {rows.size(0), dim}, ScalarType::Float);
  CheckLaunch(kOp, kernels::cuda::DequantizeRows(from, rows.size(0), dim, format,
                                                 static_cast<float*>(values.data_ptr()),
                                                 scope.stream()));
  return values;
}

STABLE_TORCH_LIBRARY_IMPL(stepwell, STEPWELL_CUDA_DISPATCH_KEY, m) {
  m.impl("quantize_rows", TORCH_BOX(&QuantizeRows));
  m.impl("dequantize_rows", TORCH_BOX(&DequantizeRows));
}

}  // namespace
}  // namespace stepwell::ops
