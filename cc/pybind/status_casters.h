// The border C++ -> Python: statuses become exceptions of stepwell.base.errors.
#ifndef STEPWELL_CC_PYBIND_STATUS_CASTERS_H_
#define STEPWELL_CC_PYBIND_STATUS_CASTERS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "pybind11/pybind11.h"

namespace stepwell::python {

// The exception of a status that is not OK; the GIL must be held. The class is
// found by the one table in status_casters.cc; a code without a line is
// StepwellError.
pybind11::object ErrorOf(const absl::Status& status);

// Raises it.
[[noreturn]] void ThrowStatus(const absl::Status& status);

// Does nothing with a status that is OK.
inline void ThrowUnlessOk(const absl::Status& status) {
  if (!status.ok()) ThrowStatus(status);
}

template <typename T>
T ValueOrThrow(absl::StatusOr<T> value) {
  ThrowUnlessOk(value.status());
  return *std::move(value);
}

// Runs `work` without the GIL and gives back what it returns.
//
// Not py::gil_scoped_release: a thread that asks for the GIL when the interpreter has
// gone is ended on the spot, and out of a destructor that would end the process.
template <typename Work>
auto ReturnedWithoutGil(Work work) {
  PyThreadState* const state = PyEval_SaveThread();
  auto result = [&] {
    try {
      return work();
    } catch (...) {
      PyEval_RestoreThread(state);
      throw;
    }
  }();
  PyEval_RestoreThread(state);
  return result;
}

// The same for a status or a value with one: gives back the value or raises the error.
template <typename Work>
auto WithoutGil(Work work) {
  auto result = ReturnedWithoutGil(std::move(work));
  if constexpr (std::is_same_v<decltype(result), absl::Status>) {
    ThrowUnlessOk(result);
  } else {
    return ValueOrThrow(std::move(result));
  }
}

}  // namespace stepwell::python

#endif  // STEPWELL_CC_PYBIND_STATUS_CASTERS_H_
