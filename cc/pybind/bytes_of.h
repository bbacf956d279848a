// The memory of Python's bytes.
#ifndef STEPWELL_CC_PYBIND_BYTES_OF_H_
#define STEPWELL_CC_PYBIND_BYTES_OF_H_

#include <cstddef>

#include "absl/strings/string_view.h"
#include "pybind11/pybind11.h"

namespace stepwell::python {

// They live as long as the object. Raises TypeError for what is no bytes.
inline absl::string_view BytesOf(const pybind11::handle& object) {
  char* data = nullptr;
  pybind11::ssize_t size = 0;
  if (PyBytes_AsStringAndSize(object.ptr(), &data, &size) != 0) {
    throw pybind11::error_already_set();
  }
  return {data, static_cast<size_t>(size)};
}

}  // namespace stepwell::python

#endif  // STEPWELL_CC_PYBIND_BYTES_OF_H_
