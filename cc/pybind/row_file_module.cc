// The Python face of cc/row_file. Every method that reads or writes a file gives up
// the GIL.
#include <cstdint>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "cc/base/field_error.h"
#include "cc/pybind/status_casters.h"
#include "cc/row_file/row_file.h"
#include "cc/row_file/row_file_writer.h"
#include "pybind11/pybind11.h"
#include "pybind11/stl.h"

namespace stepwell::python {
namespace {

namespace py = pybind11;
using row_file::RowFile;
using row_file::RowFileWriter;
using row_file::RowTable;

// name, row format, num_rows, dim, default_row
using TableTuple = std::tuple<std::string, int32_t, uint64_t, uint64_t, int64_t>;

std::vector<RowTable> TablesOf(const std::vector<TableTuple>& tuples) {
  std::vector<RowTable> tables;
  for (const auto& [name, row_format, num_rows, dim, default_row] : tuples) {
    tables.push_back({.name = name,
                      .row_format = static_cast<kernels::RowFormat>(row_format),
                      .num_rows = num_rows,
                      .dim = dim,
                      .default_row = default_row});
  }
  return tables;
}

std::vector<TableTuple> TuplesOf(const RowFile& file) {
  std::vector<TableTuple> tuples;
  for (const RowTable& table : file.view().tables()) {
    tuples.emplace_back(table.name, static_cast<int32_t>(table.row_format),
                        table.num_rows, table.dim, table.default_row);
  }
  return tuples;
}

std::vector<uint64_t> OffsetsOf(const RowFile& file) {
  std::vector<uint64_t> offsets;
  for (size_t i = 0; i < file.view().tables().size(); ++i) {
    offsets.push_back(file.view().OffsetInPayload(i));
  }
  return offsets;
}

// A view that keeps the file mapped keeps this object, by the rules of the protocol.
py::buffer_info PayloadOf(const RowFile& file) {
  const absl::Span<const char> payload = file.view().payload();
  return py::buffer_info(reinterpret_cast<const uint8_t*>(payload.data()),
                         static_cast<py::ssize_t>(payload.size()), /*readonly=*/true);
}

void Append(RowFileWriter& writer, size_t table, const py::buffer& rows) {
  const py::buffer_info info = rows.request();
  if (info.itemsize != 1 || info.ndim != 1 || (info.size > 1 && info.strides[0] != 1)) {
    ThrowStatus(FieldError("rows", "must be bytes of one dimension without gaps"));
  }
  const absl::Span<const char> bytes(static_cast<const char*>(info.ptr),
                                     static_cast<size_t>(info.size));
  WithoutGil([&] { return writer.Append(table, bytes); });
}

}  // namespace

PYBIND11_MODULE(_row_file, module) {
  module.doc() =
      "Files of embedding rows; see stepwell.ops.row_file for the typed face.";
  py::class_<RowFile>(module, "RowFile", py::buffer_protocol())
      .def_static("open",
                  [](const std::string& path, bool check_blocks) {
                    return WithoutGil([&] {
                      return RowFile::Open(path, {.check_blocks = check_blocks});
                    });
                  })
      .def("check_blocks",
           [](const RowFile& self) { WithoutGil([&] { return self.CheckBlocks(); }); })
      .def_property_readonly("tables", &TuplesOf)
      .def_property_readonly("offsets", &OffsetsOf)
      .def_buffer(&PayloadOf);
  py::class_<RowFileWriter>(module, "RowFileWriter")
      .def_static("create",
                  [](const std::string& path, const std::vector<TableTuple>& tables,
                     uint64_t block_bytes, uint64_t alignment) {
                    return WithoutGil([&] {
                      return RowFileWriter::Create(
                          path, TablesOf(tables),
                          {.block_bytes = block_bytes, .alignment = alignment});
                    });
                  })
      .def("append", &Append)
      .def("commit",
           [](RowFileWriter& self) { WithoutGil([&] { return self.Commit(); }); });
}

}  // namespace stepwell::python
