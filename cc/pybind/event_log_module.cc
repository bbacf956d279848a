// The Python face of cc/event_log. Whatever waits, reads or writes gives up the GIL;
// the committing thread never asks for it.
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "cc/base/field_error.h"
#include "cc/event_log/event.h"
#include "cc/event_log/event_log.h"
#include "cc/event_log/event_log_options.h"
#include "cc/pybind/bytes_of.h"
#include "cc/pybind/status_casters.h"
#include "cc/pybind/waiting_time.h"
#include "pybind11/pybind11.h"

namespace stepwell::python {
namespace {

namespace py = pybind11;
using event_log::Batch;
using event_log::EventLog;
using event_log::EventLogOptions;
using event_log::Receipt;
using event_log::Record;

py::bytes ToPython(const std::string& bytes) { return {bytes.data(), bytes.size()}; }

// Nothing is copied before every size is right.
Batch BatchOf(const py::list& ids, const py::list& payloads) {
  ThrowUnlessOk(event_log::CheckBatchSize(static_cast<int64_t>(ids.size())));
  if (payloads.size() != ids.size()) {
    ThrowStatus(FieldError("payloads", "must be as many as ids"));
  }
  for (size_t i = 0; i < ids.size(); ++i) {
    ThrowUnlessOk(
        event_log::CheckRecordSize(static_cast<int64_t>(BytesOf(ids[i]).size()),
                                   static_cast<int64_t>(BytesOf(payloads[i]).size())));
  }
  Batch batch;
  batch.reserve(ids.size());
  for (size_t i = 0; i < ids.size(); ++i) {
    batch.push_back({.id = std::string(BytesOf(ids[i])),
                     .payload = std::string(BytesOf(payloads[i]))});
  }
  return batch;
}

py::list ToPython(const std::vector<int64_t>& offsets) {
  py::list numbers(offsets.size());
  for (size_t i = 0; i < offsets.size(); ++i) numbers[i] = py::int_(offsets[i]);
  return numbers;
}

// offsets, num_stored
py::tuple Append(EventLog& log, const py::list& ids, const py::list& payloads) {
  Batch batch = BatchOf(ids, payloads);
  const Receipt receipt = WithoutGil([&] { return log.Append(std::move(batch)); });
  return py::make_tuple(ToPython(receipt.offsets), receipt.num_stored);
}

int64_t Submit(EventLog& log, const py::list& ids, const py::list& payloads) {
  Batch batch = BatchOf(ids, payloads);
  return WithoutGil([&] { return log.Submit(std::move(batch)); });
}

// Lists of ticket, offsets, num_stored, error or None.
py::list WaitDone(EventLog& log, double timeout_seconds) {
  const std::vector<event_log::Done> dones =
      ReturnedWithoutGil([&] { return log.WaitDone(WaitingUs(timeout_seconds)); });
  py::list ends(dones.size());
  for (size_t i = 0; i < dones.size(); ++i) {
    const auto& [ticket, receipt] = dones[i];
    if (receipt.ok()) {
      ends[i] = py::make_tuple(ticket, ToPython(receipt->offsets), receipt->num_stored,
                               py::none());
    } else {
      ends[i] = py::make_tuple(ticket, py::list(), 0, ErrorOf(receipt.status()));
    }
  }
  return ends;
}

// Keeps the GIL: to get it back from another thread costs more than all the rest.
bool Post(EventLog& log, const py::bytes& id, const py::bytes& payload) {
  const absl::string_view id_bytes = BytesOf(id);
  const absl::string_view payload_bytes = BytesOf(payload);
  ThrowUnlessOk(event_log::CheckRecordSize(static_cast<int64_t>(id_bytes.size()),
                                           static_cast<int64_t>(payload_bytes.size())));
  return ValueOrThrow(
      log.Post({.id = std::string(id_bytes), .payload = std::string(payload_bytes)}));
}

// Lists of offset, id, payload.
py::list ToPython(const std::vector<event_log::StoredEvent>& events) {
  py::list lines(events.size());
  for (size_t i = 0; i < events.size(); ++i) {
    lines[i] = py::make_tuple(events[i].offset, ToPython(events[i].id),
                              ToPython(events[i].payload));
  }
  return lines;
}

py::list Read(const EventLog& log, int64_t from_offset, int64_t limit) {
  return ToPython(WithoutGil([&] { return log.Read(from_offset, limit); }));
}

bool Wait(const EventLog& log, int64_t from_offset, double timeout_seconds) {
  return WithoutGil([&] { return log.Wait(from_offset, WaitingUs(timeout_seconds)); });
}

// events, next_offset
py::tuple ReadExcept(const EventLog& log, const py::bytes& prefix, int64_t from_offset,
                     int64_t limit) {
  const absl::string_view prefix_bytes = BytesOf(prefix);
  const event_log::SomeEvents some =
      WithoutGil([&] { return log.ReadExcept(prefix_bytes, from_offset, limit); });
  return py::make_tuple(ToPython(some.events), some.next_offset);
}

py::tuple CountsOf(const EventLog& log) {
  const event_log::PostCounts counts = log.post_counts();
  return py::make_tuple(counts.num_stored, counts.num_duplicates, counts.num_lost);
}

std::shared_ptr<EventLog> Open(const std::string& path, int64_t map_size_bytes,
                               bool sync_meta, int64_t max_pending_events,
                               int64_t max_pending_bytes, int64_t max_group_events,
                               int64_t linger_us) {
  const EventLogOptions options{.map_size_bytes = map_size_bytes,
                                .sync_meta = sync_meta,
                                .max_pending_events = max_pending_events,
                                .max_pending_bytes = max_pending_bytes,
                                .max_group_events = max_group_events,
                                .linger_us = linger_us};
  return WithoutGil([&] { return EventLog::Open(path, options); });
}

}  // namespace

PYBIND11_MODULE(_event_log, module) {
  module.doc() = "The embedded event log; see stepwell.stores for the typed face.";
  const EventLogOptions defaults;
  py::class_<EventLog, std::shared_ptr<EventLog>>(module, "EventLog")
      .def(py::init(&Open), py::arg("path"), py::kw_only(),
           py::arg("map_size_bytes") = defaults.map_size_bytes,
           py::arg("sync_meta") = defaults.sync_meta,
           py::arg("max_pending_events") = defaults.max_pending_events,
           py::arg("max_pending_bytes") = defaults.max_pending_bytes,
           py::arg("max_group_events") = defaults.max_group_events,
           py::arg("linger_us") = defaults.linger_us)
      .def("append", &Append)
      .def("submit", &Submit)
      .def("wait_done", &WaitDone)
      .def("post", &Post)
      .def("post_counts", &CountsOf)
      .def("last_loss", &EventLog::last_loss)
      .def("read", &Read)
      .def("wait", &Wait)
      .def("read_except", &ReadExcept)
      .def("first_offset",
           [](const EventLog& self) {
             return WithoutGil([&] { return self.FirstOffset(); });
           })
      .def("end_offset",
           [](const EventLog& self) {
             return WithoutGil([&] { return self.EndOffset(); });
           })
      .def("committed_offset",
           [](const EventLog& self, const py::bytes& consumer) {
             const absl::string_view name = BytesOf(consumer);
             return WithoutGil([&] { return self.CommittedOffset(name); });
           })
      .def("commit_offset",
           [](EventLog& self, const py::bytes& consumer, int64_t offset) {
             const absl::string_view name = BytesOf(consumer);
             WithoutGil([&] { return self.CommitOffset(name, offset); });
           })
      .def("trim",
           [](EventLog& self, int64_t before_offset) {
             return WithoutGil([&] { return self.Trim(before_offset); });
           })
      .def("size_bytes",
           [](const EventLog& self) {
             return WithoutGil([&] { return self.SizeBytes(); });
           })
      .def("close", [](EventLog& self) {
        WithoutGil([&] {
          self.Close();
          return absl::OkStatus();
        });
      });
}

}  // namespace stepwell::python
