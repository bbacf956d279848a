#ifndef CC_OPS_EMBEDDING_PACKED_ARGUMENTS_H_
#define CC_OPS_EMBEDDING_PACKED_ARGUMENTS_H_

#include <torch/csrc/stable/tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "cc/kernels/embedding/embedding.h"
#include "cc/kernels/embedding/row_format.h"
#include "cc/ops/checks.h"
#include "cc/ops/embedding/bag_arguments.h"

// Checks of the ops over packed tables and row formats. Header-only, for the CPU and
// the CUDA library.
namespace stepwell::ops {

// Columns of a layout tensor; a row of it describes one table.
enum LayoutColumn : int64_t {
  kByteOffset,
  kNumRows,
  kDim,
  kRowFormat,
  kDefaultRow,
  kNumLayoutColumns
};

inline RowFormat RowFormatByName(const char* op, const std::string& name) {
  for (int32_t number = 0; number < kernels::kNumRowFormats; ++number) {
    const RowFormat format = static_cast<RowFormat>(number);
    if (name == kernels::RowFormatName(format)) return format;
  }
  Fail(op, ": row_format must be \"float32\", \"float16\", \"bfloat16\", \"int8\" or ",
       "\"int4\", got \"", name, "\"");
}

inline ScalarType OutputDtypeByName(const char* op, const std::string& name) {
  if (name == "float32") return ScalarType::Float;
  STEPWELL_OP_CHECK(name == "bfloat16", op,
                    ": output_dtype must be \"float32\" or \"bfloat16\", got \"", name,
                    "\"");
  return ScalarType::BFloat16;
}

inline void CheckRowDim(const char* op, const char* name, int64_t dim) {
  STEPWELL_OP_CHECK(dim >= 1 && dim <= kernels::kMaxRowDim, op, ": ", name,
                    " must be in [1, 2^32], got ", dim);
}

// Checks one row of a layout against the storage that it describes. Any five numbers
// are safe to give; after it, every row of the table lies inside of the storage.
inline EmbeddingTable PackedTable(const char* op, int64_t table, const int64_t* entry,
                                  const uint8_t* storage, int64_t storage_bytes) {
  const auto refuse = [&](const char* column, LayoutColumn at,
                          const auto&... expected) {
    Fail(op, ": layout[", table, "] has ", column, " ", entry[at], ", must be ",
         expected...);
  };
  if (!kernels::IsRowFormat(entry[kRowFormat])) {
    refuse("row_format", kRowFormat, "in [0, ", kernels::kNumRowFormats - 1, "]");
  }
  const RowFormat format = static_cast<RowFormat>(entry[kRowFormat]);
  if (entry[kDim] < 1 || entry[kDim] > kernels::kMaxRowDim) {
    refuse("dim", kDim, "in [1, 2^32]");
  }
  if (entry[kByteOffset] < 0 || entry[kByteOffset] > storage_bytes) {
    refuse("byte_offset", kByteOffset, "in [0, ", storage_bytes, "], the storage");
  }
  const int64_t row_bytes = kernels::RowBytes(format, entry[kDim]);
  const int64_t room = (storage_bytes - entry[kByteOffset]) / row_bytes;
  if (entry[kNumRows] < 0 || entry[kNumRows] > room) {
    refuse("num_rows", kNumRows, "in [0, ", room, "]: rows of ", row_bytes,
           " bytes from byte ", entry[kByteOffset], " of ", storage_bytes);
  }
  if (entry[kDefaultRow] < -1 || entry[kDefaultRow] >= entry[kNumRows]) {
    refuse("default_row", kDefaultRow, "in [-1, ", entry[kNumRows] - 1, "]");
  }
  const uint8_t* rows = storage + entry[kByteOffset];
  const int64_t alignment = kernels::RowAlignment(format);
  if (reinterpret_cast<uintptr_t>(rows) % static_cast<uintptr_t>(alignment) != 0) {
    refuse("byte_offset", kByteOffset, "such that its rows, ",
           kernels::RowFormatName(format), ", are aligned to ", alignment, " bytes");
  }
  return {rows, entry[kNumRows], entry[kDim], 0, format, entry[kDefaultRow]};
}

// Returns the tables that `layout` finds in `rows`, side by side in the output.
inline std::vector<EmbeddingTable> PackedTablesOf(const char* op, const Tensor& rows,
                                                  const Tensor& layout, Pooling pooling,
                                                  int64_t output_dim) {
  CheckRank(op, "rows", rows, 1);
  STEPWELL_OP_CHECK(rows.scalar_type() == ScalarType::Byte, op,
                    ": rows must be uint8, got ", DtypeName(rows.scalar_type()));
  CheckContiguous(op, "rows", rows);
  CheckRank(op, "layout", layout, 2);
  STEPWELL_OP_CHECK(layout.scalar_type() == ScalarType::Long, op,
                    ": layout must be int64, got ", DtypeName(layout.scalar_type()));
  STEPWELL_OP_CHECK(layout.is_cpu(), op, ": layout must be on the CPU");
  CheckContiguous(op, "layout", layout);
  CheckSize(op, "layout", layout, 1, kNumLayoutColumns);
  const int64_t num_tables = layout.size(0);
  STEPWELL_OP_CHECK(num_tables > 0, op,
                    ": layout must describe at least one table, got 0");
  const int64_t* entries = static_cast<const int64_t*>(layout.data_ptr());
  const uint8_t* storage = static_cast<const uint8_t*>(rows.data_ptr());
  const int64_t storage_bytes = rows.size(0);
  std::vector<EmbeddingTable> tables;
  tables.reserve(num_tables);
  for (int64_t t = 0; t < num_tables; ++t) {
    tables.push_back(
        PackedTable(op, t, entries + t * kNumLayoutColumns, storage, storage_bytes));
  }
  const int64_t width = PlaceInOutput(op, pooling, tables);
  STEPWELL_OP_CHECK(output_dim == width, op, ": output_dim must be ", width,
                    " by layout, got ", output_dim);
  return tables;
}

}  // namespace stepwell::ops

#endif  // CC_OPS_EMBEDDING_PACKED_ARGUMENTS_H_
