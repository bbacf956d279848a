// What the kernels of cc/kernels/candidates take from Python: arrays that are of their
// type and shape already. They are called a dozen times a request, so nothing is
// converted here: another type is a mistake of the caller.
#ifndef STEPWELL_CC_PYBIND_CANDIDATE_ARRAYS_H_
#define STEPWELL_CC_PYBIND_CANDIDATE_ARRAYS_H_

#include <cstdint>
#include <string>

#include "cc/base/field_error.h"
#include "cc/pybind/status_casters.h"
#include "pybind11/numpy.h"
#include "pybind11/pybind11.h"

namespace stepwell::python {

// The shape as Python writes it.
std::string ShapeOf(const pybind11::array& array);

// Raises InvalidArgumentError naming `field` unless low <= rows[i] < high for all i.
void CheckRows(const int64_t* rows, int64_t num_rows, int64_t low, int64_t high,
               const char* field);

template <typename T>
void CheckType(const pybind11::array& array, const char* field) {
  using Exact = pybind11::array_t<T, pybind11::array::c_style>;
  if (pybind11::isinstance<Exact>(array)) return;
  const std::string wanted = pybind11::str(pybind11::dtype::of<T>());
  const std::string dtype = pybind11::str(array.dtype());
  ThrowStatus(
      FieldError(field, "is " + dtype + ", must be a row-major array of " + wanted));
}

// The memory of T [size], at any address; size < 0 takes any.
template <typename T>
const void* ColumnOf(const pybind11::array& array, int64_t size, const char* field) {
  CheckType<T>(array, field);
  if (array.ndim() != 1 || (size >= 0 && array.shape(0) != size)) {
    const std::string length = size < 0 ? "N" : std::to_string(size);
    ThrowStatus(FieldError(
        field, "has shape " + ShapeOf(array) + ", must be (" + length + ",)"));
  }
  return array.data();
}

template <typename T>
const T* Aligned(const void* memory, const char* field) {
  if (reinterpret_cast<uintptr_t>(memory) % alignof(T) != 0) {
    ThrowStatus(FieldError(field, "must lie at an address of its type"));
  }
  return static_cast<const T*>(memory);
}

// The memory of T [size]; size < 0 takes any.
template <typename T>
const T* VectorOf(const pybind11::array& array, int64_t size, const char* field) {
  return Aligned<T>(ColumnOf<T>(array, size, field), field);
}

// The memory of T [rows, columns], row-major; a number below 0 takes any.
template <typename T>
const T* MatrixOf(const pybind11::array& array, int64_t rows, int64_t columns,
                  const char* field) {
  CheckType<T>(array, field);
  const bool fits = array.ndim() == 2 && (rows < 0 || array.shape(0) == rows) &&
                    (columns < 0 || array.shape(1) == columns);
  if (!fits) {
    const auto text = [](int64_t n) { return n < 0 ? "any" : std::to_string(n); };
    ThrowStatus(FieldError(field, "has shape " + ShapeOf(array) + ", must be (" +
                                      text(rows) + ", " + text(columns) + ")"));
  }
  return Aligned<T>(array.data(), field);
}

// The first `size` of an array of one dimension, as an array of its own size.
template <typename T>
pybind11::array_t<T> Head(const pybind11::array_t<T>& array, int64_t size) {
  if (array.size() == size) return array;
  return pybind11::array_t<T>(size, array.data());
}

}  // namespace stepwell::python

#endif  // STEPWELL_CC_PYBIND_CANDIDATE_ARRAYS_H_
