// Python's siblings: what a supervisor of several fronts on one port holds.
#ifndef STEPWELL_CC_PYBIND_SIBLING_BINDINGS_H_
#define STEPWELL_CC_PYBIND_SIBLING_BINDINGS_H_

#include <tuple>
#include <vector>

#include "cc/front/siblings.h"
#include "pybind11/pybind11.h"

namespace stepwell::python {

// Page, slot, sockets.
using SeatFields = std::tuple<int, int, std::vector<int>>;

front::SiblingSeat SeatOf(const SeatFields& fields);

// Adds SiblingHost to the module.
void BindSiblings(pybind11::module_& module);

}  // namespace stepwell::python

#endif  // STEPWELL_CC_PYBIND_SIBLING_BINDINGS_H_
