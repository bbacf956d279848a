#include "cc/pybind/call_bindings.h"

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "cc/base/field_error.h"
#include "cc/front/admission.h"
#include "cc/front/call.h"
#include "cc/front/protobuf_peek.h"
#include "cc/pybind/status_casters.h"
#include "pybind11/stl.h"

namespace stepwell::python {
namespace {

namespace py = pybind11;
using front::Call;
using front::CallFields;
using front::CallStatus;
using front::Metadata;
using front::Reply;

py::bytes BytesOf(absl::string_view bytes) { return {bytes.data(), bytes.size()}; }

bool IsBinary(absl::string_view name) { return absl::EndsWith(name, "-bin"); }

// HTTP gives bytes; those of ASCII are the letters they mean, and no other one fails.
py::object TextOf(const std::string& text) {
  return py::reinterpret_steal<py::object>(PyUnicode_DecodeLatin1(
      text.data(), static_cast<Py_ssize_t>(text.size()), /*errors=*/nullptr));
}

py::tuple TupleOf(const Metadata& metadata) {
  py::tuple pairs(metadata.size());
  for (size_t i = 0; i < metadata.size(); ++i) {
    const auto& [name, value] = metadata[i];
    pairs[i] = py::make_tuple(
        TextOf(name), IsBinary(name) ? py::object(BytesOf(value)) : TextOf(value));
  }
  return pairs;
}

// Values are str or bytes, names are sent in lower case.
Metadata MetadataOf(const py::iterable& pairs) {
  Metadata metadata;
  for (const py::handle pair : pairs) {
    auto [name, value] = pair.cast<std::pair<std::string, std::string>>();
    metadata.emplace_back(std::move(name), std::move(value));
  }
  return metadata;
}

// Keeps what a call says that came over no connection.
class Outcome : public front::ReplySink {
 public:
  void Post(Reply reply) override {
    reply.call.reset();  // which holds this sink
    const std::lock_guard lock(mutex_);
    if (reply.kind == Reply::kSend) {
      sent_.push_back(std::move(reply.message));
    } else {
      end_ = std::move(reply);
    }
  }

  std::optional<Reply> end() const {
    const std::lock_guard lock(mutex_);
    return end_;
  }

  std::vector<std::string> sent() const {
    const std::lock_guard lock(mutex_);
    return sent_;
  }

 private:
  mutable std::mutex mutex_;
  std::optional<Reply> end_;
  std::vector<std::string> sent_;
};

const Outcome& OutcomeOf(const Call& call) {
  const auto* outcome = dynamic_cast<const Outcome*>(call.sink().get());
  if (outcome == nullptr) {
    ThrowStatus(absl::FailedPreconditionError("only a local call keeps its outcome"));
  }
  return *outcome;
}

py::object EndOf(const Call& call) {
  const std::optional<Reply> end = OutcomeOf(call).end();
  if (!end.has_value()) return py::none();
  if (end->kind == Reply::kAnswer) return BytesOf(end->message);
  return py::make_tuple(end->status.code, py::str(end->status.message),
                        TupleOf(end->status.trailers));
}

py::list SentOf(const Call& call) {
  py::list messages;
  for (const std::string& message : OutcomeOf(call).sent()) {
    messages.append(BytesOf(message));
  }
  return messages;
}

std::shared_ptr<Call> LocalCall(int method, std::string message, int64_t arrived_us,
                                std::optional<int64_t> deadline_us, int priority,
                                const std::string& key, bool is_forced,
                                const py::iterable& metadata,
                                std::pair<int, int64_t> excess) {
  ThrowUnlessOk(CheckRange("priority", priority, 0, front::kNumPriorities - 1));
  CallFields fields{.method = method,
                    .message = std::move(message),
                    .arrived_us = arrived_us,
                    .deadline_us = deadline_us.value_or(front::kNoDeadline),
                    .has_grpc_deadline = deadline_us.has_value(),
                    .priority = priority,
                    .key_hash = front::KeyHash(key),
                    .is_forced = is_forced,
                    .excess = {excess.first, excess.second},
                    .metadata = MetadataOf(metadata)};
  return std::make_shared<Call>(std::move(fields), std::make_shared<Outcome>());
}

std::optional<int64_t> DeadlineOf(const Call& call) {
  if (call.deadline_us() == front::kNoDeadline) return std::nullopt;
  return call.deadline_us();
}

std::optional<std::pair<int, int64_t>> ExcessOf(const Call& call) {
  const front::Excess& excess = call.excess();
  if (excess.field == 0) return std::nullopt;
  return std::make_pair(excess.field, excess.num_entries);
}

void Fail(Call& call, int code, std::string message, const py::iterable& trailers) {
  call.Fail(CallStatus{code, std::move(message), MetadataOf(trailers)});
}

}  // namespace

void BindCall(py::module_& module) {
  py::class_<Call, std::shared_ptr<Call>>(module, "Call")
      .def_property_readonly("method", &Call::method)
      .def_property_readonly("message",
                             [](const Call& call) { return BytesOf(call.message()); })
      .def_property_readonly("arrived_us", &Call::arrived_us)
      .def_property_readonly("deadline_us", &DeadlineOf)
      .def_property_readonly("has_deadline", &Call::has_grpc_deadline)
      .def_property_readonly("priority", &Call::priority)
      .def_property_readonly("excess", &ExcessOf)
      .def_property_readonly("metadata",
                             [](const Call& call) { return TupleOf(call.metadata()); })
      .def_property_readonly("is_cancelled", &Call::is_cancelled)
      // std::string takes bytes and str alike; the str's bytes are UTF-8.
      .def("answer", &Call::Answer, py::arg("message"))
      .def("fail", &Fail, py::arg("code"), py::arg("message"),
           py::arg("trailers") = py::tuple())
      .def("send", &Call::Send, py::arg("message"))
      .def("cancel", &Call::Cancel)
      .def("outcome", &EndOf)
      .def("sent", &SentOf);
  module.def("local_call", &LocalCall);
}

}  // namespace stepwell::python
