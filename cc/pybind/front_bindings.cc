#include "cc/pybind/front_bindings.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "cc/front/admission_queue.h"
#include "cc/front/front.h"
#include "cc/front/front_options.h"
#include "cc/front/siblings.h"
#include "cc/pybind/sibling_bindings.h"
#include "cc/pybind/status_casters.h"
#include "cc/pybind/waiting_time.h"
#include "pybind11/stl.h"

namespace stepwell::python {
namespace {

namespace py = pybind11;
using front::AdmissionQueue;
using front::FrontCounters;
using front::FrontOptions;
using front::MethodOptions;
using front::SideEvent;

std::unique_ptr<front::Siblings> JoinedBy(const std::optional<SeatFields>& seat) {
  if (!seat.has_value()) return nullptr;
  return ValueOrThrow(front::Siblings::Join(SeatOf(*seat)));
}

// Keeps the queue that the front has borrowed.
class Front {
 public:
  Front(const FrontOptions& options, std::vector<MethodOptions> methods,
        std::shared_ptr<AdmissionQueue> queue, const std::optional<SeatFields>& seat)
      : queue_(std::move(queue)),
        front_(ValueOrThrow(front::Front::Open(options, std::move(methods),
                                               queue_.get(), JoinedBy(seat)))) {}

  // Lists of call, kind, message.
  py::list TakeSide() {
    py::list events;
    for (SideEvent& event : front_->TakeSide()) {
      events.append(
          py::make_tuple(std::move(event.call), static_cast<int>(event.kind),
                         py::bytes(event.message.data(), event.message.size())));
    }
    return events;
  }

  void Listen() {
    WithoutGil([&] { return front_->Listen(); });
  }

  void Drain() {
    const py::gil_scoped_release release;
    front_->Drain();
  }

  bool WaitIdle(double timeout_seconds) {
    const py::gil_scoped_release release;
    return front_->WaitIdle(WaitingUs(timeout_seconds));
  }

  void Close() {
    const py::gil_scoped_release release;
    front_->Close();
  }

  int port() const { return front_->port(); }
  int side_fd() const { return front_->side_fd(); }
  FrontCounters counters() const { return front_->counters(); }

 private:
  const std::shared_ptr<AdmissionQueue> queue_;
  const std::unique_ptr<front::Front> front_;
};

py::tuple EntryLimitsOf(const MethodOptions& method) {
  py::tuple limits(method.entry_limits.size());
  for (size_t i = 0; i < method.entry_limits.size(); ++i) {
    const front::EntryLimit& limit = method.entry_limits[i];
    limits[i] = py::make_tuple(limit.field, limit.max_entries);
  }
  return limits;
}

void SetEntryLimits(MethodOptions& method,
                    const std::vector<std::pair<int, int64_t>>& limits) {
  method.entry_limits.clear();
  for (const auto& [field, max_entries] : limits) {
    method.entry_limits.push_back({field, max_entries});
  }
}

// Python's dataclasses have the same names; its test holds names and defaults together.
void BindOptions(py::module_& module) {
  py::class_<FrontOptions>(module, "FrontOptions")
      .def(py::init<>())
      .def_readwrite("host", &FrontOptions::host)
      .def_readwrite("port", &FrontOptions::port)
      .def_readwrite("shared_port", &FrontOptions::shared_port)
      .def_readwrite("max_message_bytes", &FrontOptions::max_message_bytes)
      .def_readwrite("max_metadata_bytes", &FrontOptions::max_metadata_bytes)
      .def_readwrite("max_connections", &FrontOptions::max_connections)
      .def_readwrite("max_streams_per_connection",
                     &FrontOptions::max_streams_per_connection)
      .def_readwrite("max_partial_bytes_per_connection",
                     &FrontOptions::max_partial_bytes_per_connection)
      .def_readwrite("max_partial_bytes", &FrontOptions::max_partial_bytes)
      .def_readwrite("max_unread_bytes", &FrontOptions::max_unread_bytes)
      .def_readwrite("max_side_events", &FrontOptions::max_side_events)
      .def_readwrite("max_connection_age_ms", &FrontOptions::max_connection_age_ms)
      .def_readwrite("connection_age_grace_ms", &FrontOptions::connection_age_grace_ms)
      .def_readwrite("default_deadline_us", &FrontOptions::default_deadline_us)
      .def_readwrite("max_deadline_us", &FrontOptions::max_deadline_us)
      .def_readwrite("preface_timeout_ms", &FrontOptions::preface_timeout_ms)
      .def_readwrite("keepalive_ms", &FrontOptions::keepalive_ms)
      .def_readwrite("keepalive_timeout_ms", &FrontOptions::keepalive_timeout_ms);
  py::class_<MethodOptions>(module, "MethodOptions")
      .def(py::init<>())
      .def_readwrite("path", &MethodOptions::path)
      .def_readwrite("queued", &MethodOptions::queued)
      .def_readwrite("streaming", &MethodOptions::streaming)
      .def_readwrite("priority_field", &MethodOptions::priority_field)
      .def_readwrite("deadline_ms_field", &MethodOptions::deadline_ms_field)
      .def_readwrite("key_field", &MethodOptions::key_field)
      .def_readwrite("forced_field", &MethodOptions::forced_field)
      .def_property("entry_limits", &EntryLimitsOf, &SetEntryLimits);
}

void BindCounters(py::module_& module) {
  py::class_<FrontCounters>(module, "FrontCounters")
      .def_readonly("num_calls", &FrontCounters::num_calls)
      .def_readonly("num_open", &FrontCounters::num_open)
      .def_readonly("num_connections", &FrontCounters::num_connections)
      .def_readonly("num_accepted", &FrontCounters::num_accepted)
      .def_readonly("num_rejected", &FrontCounters::num_rejected)
      .def_property_readonly(
          "num_refused_overload",
          [](const FrontCounters& counters) {
            return py::tuple(py::cast(counters.num_refused_overload));
          })
      .def_readonly("num_refused_late", &FrontCounters::num_refused_late)
      .def_readonly("num_expired", &FrontCounters::num_expired)
      .def_readonly("num_too_large", &FrontCounters::num_too_large)
      .def_readonly("num_metadata_too_large", &FrontCounters::num_metadata_too_large)
      .def_readonly("num_unknown_method", &FrontCounters::num_unknown_method)
      .def_readonly("num_malformed", &FrontCounters::num_malformed)
      .def_readonly("num_cancelled", &FrontCounters::num_cancelled)
      .def_readonly("bytes_in", &FrontCounters::bytes_in)
      .def_readonly("bytes_out", &FrontCounters::bytes_out)
      .def_readonly("num_given", &FrontCounters::num_given)
      .def_readonly("num_adopted", &FrontCounters::num_adopted)
      .def_readonly("num_unusable", &FrontCounters::num_unusable);
}

}  // namespace

void BindFront(py::module_& module) {
  BindOptions(module);
  BindCounters(module);
  py::class_<Front>(module, "Front")
      .def(py::init<const FrontOptions&, std::vector<MethodOptions>,
                    std::shared_ptr<AdmissionQueue>, std::optional<SeatFields>>())
      .def("listen", &Front::Listen)
      .def_property_readonly("port", &Front::port)
      .def_property_readonly("side_fd", &Front::side_fd)
      .def("take_side", &Front::TakeSide)
      .def("drain", &Front::Drain)
      .def("wait_idle", &Front::WaitIdle)
      .def("close", &Front::Close)
      .def("counters", &Front::counters);
}

}  // namespace stepwell::python
