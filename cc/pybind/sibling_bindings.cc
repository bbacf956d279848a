#include "cc/pybind/sibling_bindings.h"

#include <memory>

#include "cc/base/field_error.h"
#include "cc/front/sibling_host.h"
#include "cc/pybind/status_casters.h"
#include "pybind11/stl.h"

namespace stepwell::python {
namespace {

namespace py = pybind11;

// Checks the slots that Python names.
class SiblingHost {
 public:
  explicit SiblingHost(int num_slots)
      : host_(ValueOrThrow(front::SiblingHost::Create(num_slots))) {}

  SeatFields Seat(int slot) const {
    const front::SiblingSeat seat = host_->SeatOf(Checked(slot));
    return {seat.page, seat.slot, seat.sockets};
  }

  int inbox(int slot) const { return host_->inbox(Checked(slot)); }
  int64_t Count(int slot) const { return host_->Count(Checked(slot)); }
  void Close(int slot) { host_->Close(Checked(slot)); }

  py::tuple PassOn(int slot) {
    const front::SiblingHost::PassedOn passed = host_->PassOn(Checked(slot));
    return py::make_tuple(passed.num_given, passed.num_closed);
  }

 private:
  int Checked(int slot) const {
    ThrowUnlessOk(CheckRange("slot", slot, 0, host_->num_slots() - 1));
    return slot;
  }

  const std::unique_ptr<front::SiblingHost> host_;
};

}  // namespace

front::SiblingSeat SeatOf(const SeatFields& fields) {
  const auto& [page, slot, sockets] = fields;
  return {page, slot, sockets};
}

void BindSiblings(py::module_& module) {
  py::class_<SiblingHost>(module, "SiblingHost")
      .def(py::init<int>())
      .def("seat", &SiblingHost::Seat)
      .def("inbox", &SiblingHost::inbox)
      .def("count", &SiblingHost::Count)
      .def("close", &SiblingHost::Close)
      .def("pass_on", &SiblingHost::PassOn);
}

}  // namespace stepwell::python
