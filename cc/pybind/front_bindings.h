// Python's front: the port, its methods and its counters.
#ifndef STEPWELL_CC_PYBIND_FRONT_BINDINGS_H_
#define STEPWELL_CC_PYBIND_FRONT_BINDINGS_H_

#include "pybind11/pybind11.h"

namespace stepwell::python {

// Adds Front, FrontOptions, MethodOptions and FrontCounters to the module, which must
// have Call and AdmissionQueue.
void BindFront(pybind11::module_& module);

}  // namespace stepwell::python

#endif  // STEPWELL_CC_PYBIND_FRONT_BINDINGS_H_
