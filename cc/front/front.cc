#include "cc/front/front.h"

#include <pthread.h>

#include "absl/strings/str_cat.h"
#include "cc/base/field_error.h"
#include "cc/base/status_macros.h"

namespace stepwell::front {
namespace {

absl::Status CheckQueue(const std::vector<MethodOptions>& methods,
                        const AdmissionQueue* queue) {
  for (const MethodOptions& method : methods) {
    if (!method.queued || queue != nullptr) continue;
    return FieldError(
        "queued", absl::StrCat("is set for ", method.path, ", and there is no queue"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Front>> Front::Open(const FrontOptions& options,
                                                   std::vector<MethodOptions> methods,
                                                   AdmissionQueue* queue,
                                                   std::unique_ptr<Siblings> siblings) {
  STEPWELL_RETURN_IF_ERROR(CheckOptions(options));
  STEPWELL_RETURN_IF_ERROR(CheckMethods(methods));
  STEPWELL_RETURN_IF_ERROR(CheckQueue(methods, queue));
  STEPWELL_ASSIGN_OR_RETURN(
      std::unique_ptr<IoLoop> loop,
      IoLoop::Open(options, std::move(methods), queue, std::move(siblings)));
  if (!options.shared_port) STEPWELL_RETURN_IF_ERROR(loop->Bind());
  return std::unique_ptr<Front>(new Front(std::move(loop)));
}

absl::Status Front::Listen() {
  if (thread_.joinable()) return absl::FailedPreconditionError("it listens already");
  STEPWELL_RETURN_IF_ERROR(loop_->Bind());
  STEPWELL_RETURN_IF_ERROR(loop_->Listen());
  thread_ = std::thread([this] { loop_->Run(); });
  pthread_setname_np(thread_.native_handle(), "front");
  return absl::OkStatus();
}

void Front::Drain() {
  if (thread_.joinable()) loop_->Drain();
}

bool Front::WaitIdle(int64_t timeout_us) {
  return !thread_.joinable() || loop_->WaitIdle(timeout_us);
}

void Front::Close() {
  if (!thread_.joinable()) return;
  loop_->Stop();
  thread_.join();
}

}  // namespace stepwell::front
