// The features of candidates, computed over a table of items that the object holds.
#ifndef STEPWELL_CC_PYBIND_FEATURE_TABLE_BINDINGS_H_
#define STEPWELL_CC_PYBIND_FEATURE_TABLE_BINDINGS_H_

#include "pybind11/pybind11.h"

namespace stepwell::python {

// Adds the class FeatureTable to the module.
void BindFeatureTable(pybind11::module_& module);

}  // namespace stepwell::python

#endif  // STEPWELL_CC_PYBIND_FEATURE_TABLE_BINDINGS_H_
