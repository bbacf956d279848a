#include "cc/pybind/candidate_arrays.h"

namespace stepwell::python {

std::string ShapeOf(const pybind11::array& array) {
  return pybind11::str(array.attr("shape"));
}

void CheckRows(const int64_t* rows, int64_t num_rows, int64_t low, int64_t high,
               const char* field) {
  for (int64_t i = 0; i < num_rows; ++i) {
    if (rows[i] >= low && rows[i] < high) continue;
    ThrowStatus(CheckRange(field, rows[i], low, high - 1));
  }
}

}  // namespace stepwell::python
