// Python's admission: the rule and the queue.
#ifndef STEPWELL_CC_PYBIND_ADMISSION_BINDINGS_H_
#define STEPWELL_CC_PYBIND_ADMISSION_BINDINGS_H_

#include "pybind11/pybind11.h"

namespace stepwell::python {

// Adds Admission and AdmissionQueue to the module, which must have Call.
void BindAdmission(pybind11::module_& module);

}  // namespace stepwell::python

#endif  // STEPWELL_CC_PYBIND_ADMISSION_BINDINGS_H_
