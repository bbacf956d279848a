// Who gets the calls that the connections have read.
#ifndef STEPWELL_CC_FRONT_CALL_HANDLER_H_
#define STEPWELL_CC_FRONT_CALL_HANDLER_H_

#include <memory>
#include <string>

#include "cc/front/call.h"

namespace stepwell::front {

// Of a method that is not queued. A unary one: one kMessage with the whole request. A
// streaming one: a kMessage for each, then kHalfClosed. kCancelled at most once, last,
// and never after an end of the call.
struct SideEvent {
  enum Kind { kMessage, kHalfClosed, kCancelled };
  std::shared_ptr<Call> call;
  Kind kind = kMessage;
  std::string message;
};

// Concurrency: called by the I/O thread alone. Nothing here waits, and an answer from
// inside of a call is allowed.
class CallHandler {
 public:
  virtual ~CallHandler() = default;

  // A whole request of a queued method.
  virtual void OnCall(std::shared_ptr<Call> call) = 0;

  // False when there is no room: the connection then fails the call.
  virtual bool OnSide(SideEvent event) = 0;

  // The caller has gone before the call's end.
  virtual void OnCancelled(const std::shared_ptr<Call>& call) = 0;
};

}  // namespace stepwell::front

#endif  // STEPWELL_CC_FRONT_CALL_HANDLER_H_
