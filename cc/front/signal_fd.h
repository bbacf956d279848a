// A descriptor that one thread makes readable for another.
#ifndef STEPWELL_CC_FRONT_SIGNAL_FD_H_
#define STEPWELL_CC_FRONT_SIGNAL_FD_H_

#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>

#include "cc/front/descriptor.h"

namespace stepwell::front {

// Concurrency: thread-safe. Cost: one system call a method.
class SignalFd {
 public:
  SignalFd() : descriptor_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {}

  // False when the process has no descriptor left.
  bool is_open() const { return descriptor_.is_open(); }
  int fd() const { return descriptor_.get(); }

  void Raise() const {
    const uint64_t one = 1;
    // It fails only when it has been raised 2^64 times: then it is readable.
    [[maybe_unused]] const ssize_t written = write(fd(), &one, sizeof(one));
  }

  void Clear() const {
    uint64_t count = 0;
    [[maybe_unused]] const ssize_t size = read(fd(), &count, sizeof(count));
  }

 private:
  Descriptor descriptor_;
};

}  // namespace stepwell::front

#endif  // STEPWELL_CC_FRONT_SIGNAL_FD_H_
