#include "cc/pybind/admission_bindings.h"

#include <cstdint>
#include <memory>
#include <utility>

#include "cc/base/field_error.h"
#include "cc/front/admission.h"
#include "cc/front/admission_queue.h"
#include "cc/front/refusal.h"
#include "cc/pybind/status_casters.h"
#include "cc/pybind/waiting_time.h"

namespace stepwell::python {
namespace {

namespace py = pybind11;
using front::Admission;
using front::AdmissionQueue;
using front::AdmissionTerms;
using front::Call;

constexpr int64_t kLargestQueue = 1'000'000;

int CheckedPriority(int priority) {
  ThrowUnlessOk(CheckRange("priority", priority, 0, front::kNumPriorities - 1));
  return priority;
}

int64_t CheckedSize(int64_t max_size) {
  ThrowUnlessOk(CheckRange("max_size", max_size, 1, kLargestQueue));
  return max_size;
}

template <typename Ruled>
void SetTerms(Ruled& ruled, int64_t budget_us, int64_t popular_mean_us,
              int64_t popular_p95_us, int64_t pace_us, int64_t parallelism,
              int64_t batch_size, int64_t standing_us, bool can_step_down) {
  const AdmissionTerms terms{.budget_us = budget_us,
                             .popular_mean_us = popular_mean_us,
                             .popular_p95_us = popular_p95_us,
                             .pace_us = pace_us,
                             .parallelism = parallelism,
                             .batch_size = batch_size,
                             .standing_us = standing_us,
                             .can_step_down = can_step_down};
  ThrowUnlessOk(CheckTerms(terms));
  ruled.SetTerms(terms);
}

bool Admits(Admission& admission, int priority, int64_t age_us, int64_t deadline_us,
            bool forced, int64_t num_ahead, int64_t now_us) {
  return admission.Admits({.priority = CheckedPriority(priority),
                           .age_us = age_us,
                           .deadline_us = deadline_us,
                           .forced = forced},
                          num_ahead, now_us);
}

// The GIL goes only when there is nothing to take: to get it back from another thread
// costs more than all the rest.
std::shared_ptr<Call> Take(AdmissionQueue& queue, double timeout_seconds) {
  std::shared_ptr<Call> call = queue.TryTake();
  if (call != nullptr) return call;
  const int64_t timeout_us = WaitingUs(timeout_seconds);
  // Not py::gil_scoped_release: a thread that asks for the GIL when the interpreter has
  // gone is ended on the spot, and out of a destructor that would end the process.
  PyThreadState* const state = PyEval_SaveThread();
  call = queue.Take(timeout_us);
  PyEval_RestoreThread(state);
  return call;
}

// What the I/O thread does with a newcomer.
std::shared_ptr<Call> Offer(AdmissionQueue& queue, std::shared_ptr<Call> call) {
  const auto refusal = queue.Offer(std::move(call));
  if (!refusal.has_value()) return nullptr;
  refusal->call->Fail(StatusOf(*refusal));
  return refusal->call;
}

py::tuple Lengths(const AdmissionQueue& queue) {
  const auto lengths = queue.Lengths();
  return py::make_tuple(lengths[0], lengths[1], lengths[2]);
}

}  // namespace

void BindAdmission(py::module_& module) {
  py::class_<Admission>(module, "Admission")
      .def(py::init<int64_t>())
      .def("set_terms", &SetTerms<Admission>)
      .def("admits", &Admits)
      .def("left",
           [](Admission& self, int priority, bool idle, int64_t now_us) {
             self.Left(CheckedPriority(priority), idle, now_us);
           })
      .def("pushback_ms", &Admission::PushbackMs);
  py::class_<AdmissionQueue, std::shared_ptr<AdmissionQueue>>(module, "AdmissionQueue")
      .def(py::init([](int64_t max_size) {
        return std::make_shared<AdmissionQueue>(CheckedSize(max_size));
      }))
      .def("set_terms", &SetTerms<AdmissionQueue>)
      .def("set_max_size",
           [](AdmissionQueue& self, int64_t max_size) {
             self.SetMaxSize(CheckedSize(max_size));
           })
      .def("offer", &Offer)
      .def("take", &Take)
      .def("try_take", &AdmissionQueue::TryTake)
      .def("abandon", &AdmissionQueue::Abandon)
      .def("left", [](AdmissionQueue& self, int priority,
                      bool idle) { self.Left(CheckedPriority(priority), idle); })
      .def("num_ahead",
           [](const AdmissionQueue& self, int priority) {
             return self.NumAhead(CheckedPriority(priority));
           })
      .def("lengths", &Lengths)
      .def("oldest_age_us", &AdmissionQueue::OldestAgeUs)
      .def("close", &AdmissionQueue::Close);
}

}  // namespace stepwell::python
