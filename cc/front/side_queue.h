// Calls that somebody else than the workers answers.
#ifndef STEPWELL_CC_FRONT_SIDE_QUEUE_H_
#define STEPWELL_CC_FRONT_SIDE_QUEUE_H_

#include <cstddef>
#include <mutex>
#include <vector>

#include "cc/front/call_handler.h"
#include "cc/front/signal_fd.h"

namespace stepwell::front {

// Concurrency: thread-safe. Bound: max_size, and one cancellation for each open call.
class SideQueue {
 public:
  explicit SideQueue(size_t max_size) : max_size_(max_size) {}

  bool is_open() const { return signal_.is_open(); }

  // Readable while events wait.
  int fd() const { return signal_.fd(); }

  // False when it is full; a cancellation always finds room.
  bool Push(SideEvent event);

  // All, in order.
  std::vector<SideEvent> Take();

 private:
  const size_t max_size_;
  const SignalFd signal_;
  std::mutex mutex_;
  std::vector<SideEvent> events_;
};

}  // namespace stepwell::front

#endif  // STEPWELL_CC_FRONT_SIDE_QUEUE_H_
