// The Python face of item attributes and sets of ids.
#ifndef STEPWELL_CC_PYBIND_ITEM_FILTER_BINDINGS_H_
#define STEPWELL_CC_PYBIND_ITEM_FILTER_BINDINGS_H_

#include "pybind11/pybind11.h"

namespace stepwell::python {

// Adds IdSet (index::IdBitmap, held by shared_ptr, immutable from Python) and
// ItemAttributes to the module; see stepwell.index.item_filter for the typed face.
void BindItemFilter(pybind11::module_& module);

}  // namespace stepwell::python

#endif  // STEPWELL_CC_PYBIND_ITEM_FILTER_BINDINGS_H_
