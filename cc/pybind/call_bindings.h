// Python's calls of the front.
#ifndef STEPWELL_CC_PYBIND_CALL_BINDINGS_H_
#define STEPWELL_CC_PYBIND_CALL_BINDINGS_H_

#include "pybind11/pybind11.h"

namespace stepwell::python {

// Adds Call and local_call to the module.
void BindCall(pybind11::module_& module);

}  // namespace stepwell::python

#endif  // STEPWELL_CC_PYBIND_CALL_BINDINGS_H_
