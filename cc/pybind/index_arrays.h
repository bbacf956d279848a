// What the index's methods take from Python and give back: arrays and results.
#ifndef STEPWELL_CC_PYBIND_INDEX_ARRAYS_H_
#define STEPWELL_CC_PYBIND_INDEX_ARRAYS_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "cc/index/ann_index.h"
#include "pybind11/numpy.h"
#include "pybind11/pybind11.h"

namespace stepwell::python {

// Arrays of exactly this type and order, so that their memory can be read as it lies.
using Floats = pybind11::array_t<float, pybind11::array::c_style>;
using Ids = pybind11::array_t<int64_t, pybind11::array::c_style>;
using Flags = pybind11::array_t<bool, pybind11::array::c_style>;

// Each raises InvalidArgumentError that names `field`. An array that is of the type
// already is borrowed; other numbers are converted into a copy. Ids must be whole
// numbers: a float is a mistake of the caller, not something to round.
Floats FloatsOf(pybind11::handle values, const char* field);
Ids IdsOf(pybind11::handle values, const char* field);
Flags FlagsOf(pybind11::handle values, const char* field);

// The rows of float32 [N, dim]: the number of columns is checked here, where it is
// still known.
absl::Span<const float> RowsOf(const Floats& rows, int64_t dim, const char* field);

template <typename T, int kFlags>
absl::Span<const T> SpanOf(const pybind11::array_t<T, kFlags>& array) {
  return {array.data(), static_cast<size_t>(array.size())};
}

// The 32 bytes of a space's hash.
index::SpaceHash HashOf(const pybind11::bytes& bytes);

// The fields of stepwell.index's SearchResult and IndexStats, in their order.
pybind11::tuple ToTuple(index::SearchResult result);
pybind11::tuple ToTuple(const index::IndexStats& stats);

}  // namespace stepwell::python

#endif  // STEPWELL_CC_PYBIND_INDEX_ARRAYS_H_
