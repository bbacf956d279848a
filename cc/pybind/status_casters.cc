#include "cc/pybind/status_casters.h"

#include <string>

#include "cc/base/field_error.h"

namespace stepwell::python {
namespace {

namespace py = pybind11;

struct ErrorClass {
  absl::StatusCode code;
  const char* name;
};

constexpr ErrorClass kErrorClasses[] = {
    {absl::StatusCode::kInvalidArgument, "InvalidArgumentError"},
    {absl::StatusCode::kOutOfRange, "InvalidArgumentError"},
    {absl::StatusCode::kNotFound, "NotFoundError"},
    {absl::StatusCode::kAlreadyExists, "AlreadyExistsError"},
    {absl::StatusCode::kFailedPrecondition, "FailedPreconditionError"},
    {absl::StatusCode::kResourceExhausted, "ResourceExhaustedError"},
    {absl::StatusCode::kDeadlineExceeded, "DeadlineExceededError"},
    {absl::StatusCode::kDataLoss, "DataLossError"},
    {absl::StatusCode::kUnavailable, "UnavailableError"},
    {absl::StatusCode::kPermissionDenied, "PermissionDeniedError"},
};

const char* ClassName(absl::StatusCode code) {
  for (const ErrorClass& line : kErrorClasses) {
    if (line.code == code) return line.name;
  }
  return "StepwellError";
}

}  // namespace

py::object ErrorOf(const absl::Status& status) {
  const py::object type =
      py::module_::import("stepwell.base.errors").attr(ClassName(status.code()));
  const std::string field = FieldOf(status);
  const std::string message(status.message());
  return field.empty() ? type(message) : type(message, field);
}

void ThrowStatus(const absl::Status& status) {
  const py::object error = ErrorOf(status);
  PyErr_SetObject(py::type::handle_of(error).ptr(), error.ptr());
  throw py::error_already_set();
}

}  // namespace stepwell::python
