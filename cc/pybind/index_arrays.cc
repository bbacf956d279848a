#include "cc/pybind/index_arrays.h"

#include <cstring>
#include <string>
#include <utility>

#include "cc/base/field_error.h"
#include "cc/pybind/status_casters.h"

namespace stepwell::python {
namespace {

namespace py = pybind11;

// Answers below this size are copied into numpy's memory, which is cheaper than an
// owner of their own; larger ones are handed over.
constexpr size_t kMaxCopyBytes = 1 << 16;

bool IsAligned(const py::array& array) {
  return (array.flags() & py::detail::npy_api::NPY_ARRAY_ALIGNED_) != 0;
}

// Whether the memory can be read as it lies.
template <typename Array>
bool IsReadable(py::handle values) {
  return py::isinstance<Array>(values) &&
         IsAligned(py::reinterpret_borrow<py::array>(values));
}

template <typename T>
py::array Converted(py::handle values, const char* field, const char* kinds,
                    const char* wanted) {
  const py::array array = py::array::ensure(values);
  if (!array) {
    PyErr_Clear();
    ThrowStatus(FieldError(field, std::string("must be an array of ") + wanted));
  }
  // An empty list has a type of its own that means nothing.
  if (array.size() > 0 && std::strchr(kinds, array.dtype().kind()) == nullptr) {
    const std::string dtype = py::str(array.dtype());
    ThrowStatus(FieldError(field, "has dtype " + dtype + ", must be " + wanted));
  }
  const py::array row_major =
      py::array_t<T, py::array::c_style | py::array::forcecast>::ensure(array);
  // Where memory is out, or a warning of numpy's is an error in the caller's program.
  if (!row_major) {
    ThrowStatus(FieldError(field, std::string("cannot be converted to ") + wanted));
  }
  if (IsAligned(row_major)) return row_major;
  return row_major.attr("copy")();
}

template <typename T>
py::array Handed(std::vector<T> values, py::array::ShapeContainer shape,
                 const py::dtype& dtype) {
  if (values.size() * sizeof(T) <= kMaxCopyBytes) {
    return {dtype, std::move(shape), values.data()};
  }
  auto owner = std::make_unique<std::vector<T>>(std::move(values));
  T* data = owner->data();
  const py::capsule capsule(owner.release(), [](void* vector) {
    delete static_cast<std::vector<T>*>(vector);
  });
  return {dtype, std::move(shape), data, capsule};
}

template <typename T>
py::array Handed(std::vector<T> values, py::array::ShapeContainer shape) {
  return Handed(std::move(values), std::move(shape), py::dtype::of<T>());
}

}  // namespace

Floats FloatsOf(py::handle values, const char* field) {
  if (IsReadable<Floats>(values)) return py::reinterpret_borrow<Floats>(values);
  return Converted<float>(values, field, "fiu", "float32");
}

Flags FlagsOf(py::handle values, const char* field) {
  const py::array array = py::array::ensure(values);
  if (array && array.ndim() == 1 && array.dtype().kind() == 'b') {
    Flags flags = Flags::ensure(array);
    if (flags) return flags;
  }
  PyErr_Clear();
  ThrowStatus(FieldError(field, "must be a bool array of one dimension or an IdSet"));
}

Ids IdsOf(py::handle values, const char* field) {
  const Ids ids = IsReadable<Ids>(values)
                      ? py::reinterpret_borrow<Ids>(values)
                      : Ids(Converted<int64_t>(values, field, "iu", "int64"));
  if (ids.ndim() != 1) ThrowStatus(FieldError(field, "must have one dimension"));
  return ids;
}

absl::Span<const float> RowsOf(const Floats& rows, int64_t dim, const char* field) {
  if (rows.ndim() == 2 && rows.shape(1) == dim) return SpanOf(rows);
  const std::string shape = py::str(rows.attr("shape"));
  const std::string columns = dim > 0 ? std::to_string(dim) : "D";
  ThrowStatus(
      FieldError(field, "has shape " + shape + ", must be [N, " + columns + "]"));
}

index::SpaceHash HashOf(const py::bytes& bytes) {
  const std::string text = bytes;
  index::SpaceHash hash{};
  if (text.size() != hash.size()) {
    ThrowStatus(FieldError(
        "space_hash", "has " + std::to_string(text.size()) + " bytes, must have 32"));
  }
  std::memcpy(hash.data(), text.data(), hash.size());
  return hash;
}

py::tuple ToTuple(index::SearchResult result) {
  const py::ssize_t b = result.num_queries, k = result.k;
  return py::make_tuple(Handed(std::move(result.ids), {b, k}),
                        Handed(std::move(result.scores), {b, k}),
                        Handed(std::move(result.counts), {b}),
                        Handed(std::move(result.truncated), {b}, py::dtype::of<bool>()),
                        result.num_visited, result.num_distances,
                        index::SearchStrategyName(result.strategy), result.num_exact);
}

py::tuple ToTuple(const index::IndexStats& stats) {
  const py::bytes space_hash(reinterpret_cast<const char*>(stats.space_hash.data()),
                             stats.space_hash.size());
  const absl::string_view metric = index::MetricName(stats.metric);
  return py::make_tuple(stats.num_items, stats.num_deleted, stats.dim,
                        py::str(metric.data(), metric.size()), stats.m,
                        stats.ef_construction, stats.memory_bytes, space_hash,
                        stats.num_nodes, stats.num_free, stats.codes,
                        stats.keep_vectors, stats.mapped);
}

}  // namespace stepwell::python
