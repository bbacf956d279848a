// A small ranker over its own copies of weights.
#ifndef STEPWELL_CC_PYBIND_SMALL_RANKER_BINDINGS_H_
#define STEPWELL_CC_PYBIND_SMALL_RANKER_BINDINGS_H_

#include "pybind11/pybind11.h"

namespace stepwell::python {

// Adds the class SmallRanker to the module.
void BindSmallRanker(pybind11::module_& module);

}  // namespace stepwell::python

#endif  // STEPWELL_CC_PYBIND_SMALL_RANKER_BINDINGS_H_
