#include "cc/front/call.h"

namespace stepwell::front {

void Call::Answer(std::string message) {
  if (End()) Post(Reply::kAnswer, std::move(message), {});
}

void Call::Fail(CallStatus status) {
  if (End()) Post(Reply::kFail, {}, std::move(status));
}

void Call::Send(std::string message) {
  if (!is_ended()) Post(Reply::kSend, std::move(message), {});
}

void Call::Post(Reply::Kind kind, std::string message, CallStatus status) {
  if (sink_ == nullptr || is_cancelled()) return;
  sink_->Post({shared_from_this(), kind, std::move(message), std::move(status)});
}

}  // namespace stepwell::front
