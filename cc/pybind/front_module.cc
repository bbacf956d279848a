// The Python face of cc/front. What is short keeps the GIL; what waits gives it up. The
// I/O thread never asks for it.
#include "cc/pybind/admission_bindings.h"
#include "cc/pybind/call_bindings.h"
#include "cc/pybind/front_bindings.h"
#include "cc/pybind/sibling_bindings.h"
#include "pybind11/pybind11.h"

namespace stepwell::python {

PYBIND11_MODULE(_front, module) {
  module.doc() = "The callers' front; see stepwell.front for the typed face.";
  BindCall(module);
  BindAdmission(module);
  BindSiblings(module);
  BindFront(module);
}

}  // namespace stepwell::python
