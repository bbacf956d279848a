// The callers' port: gRPC over HTTP/2 by one I/O thread of its own.
#ifndef STEPWELL_CC_FRONT_FRONT_H_
#define STEPWELL_CC_FRONT_FRONT_H_

#include <cstdint>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cc/front/admission_queue.h"
#include "cc/front/call_handler.h"
#include "cc/front/front_options.h"
#include "cc/front/io_loop.h"
#include "cc/front/siblings.h"

namespace stepwell::front {

// Calls of queued methods go to the AdmissionQueue, which refuses what it does not
// take; all others to the side. Whoever takes a call answers it.
//
// Concurrency: every method from any thread; Listen, Drain and Close one after another.
class Front {
 public:
  // Binds the port, unless it is shared: then Listen does, so that nobody is sent here
  // before. `queue` is borrowed; nullptr when no method is queued. With `siblings` of
  // other fronts on the port it has as many connections as they. A FieldError, or
  // Unavailable "cannot listen on host:port: ...".
  static absl::StatusOr<std::unique_ptr<Front>> Open(
      const FrontOptions& options, std::vector<MethodOptions> methods,
      AdmissionQueue* queue, std::unique_ptr<Siblings> siblings = nullptr);

  ~Front() { Close(); }
  Front(const Front&) = delete;
  Front& operator=(const Front&) = delete;

  // Accepts from now on. Once.
  absl::Status Listen();

  // 0 before it is bound.
  int port() const { return loop_->port(); }

  // Readable while side events wait; belongs to the front.
  int side_fd() const { return loop_->side().fd(); }
  std::vector<SideEvent> TakeSide() { return loop_->side().Take(); }

  // Closes the listening socket and says GOAWAY to all; calls that they have begun are
  // served, later ones are safe to retry elsewhere. Returns when the port is closed.
  void Drain();

  // True when no call is open and every answer was handed to the system, false after
  // the timeout, of INT64_MAX never, or when it closes.
  bool WaitIdle(int64_t timeout_us);

  // Ends the calls that are open with UNAVAILABLE, closes everything and joins the
  // thread. Later calls do nothing.
  void Close();

  FrontCounters counters() const { return loop_->counters(); }

 private:
  explicit Front(std::unique_ptr<IoLoop> loop) : loop_(std::move(loop)) {}

  const std::unique_ptr<IoLoop> loop_;
  std::thread thread_;
};

}  // namespace stepwell::front

#endif  // STEPWELL_CC_FRONT_FRONT_H_
