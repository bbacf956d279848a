// A packed ranker and the records of a release's items, ready to score requests.
#ifndef STEPWELL_CC_PYBIND_FUSED_RANKER_BINDINGS_H_
#define STEPWELL_CC_PYBIND_FUSED_RANKER_BINDINGS_H_

#include "pybind11/pybind11.h"

namespace stepwell::python {

// Adds the class FusedRanker to the module.
void BindFusedRanker(pybind11::module_& module);

}  // namespace stepwell::python

#endif  // STEPWELL_CC_PYBIND_FUSED_RANKER_BINDINGS_H_
