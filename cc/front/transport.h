// Bytes to and from one peer: the place where encryption would come in.
#ifndef STEPWELL_CC_FRONT_TRANSPORT_H_
#define STEPWELL_CC_FRONT_TRANSPORT_H_

#include <cstddef>
#include <memory>

#include "absl/strings/string_view.h"
#include "cc/front/descriptor.h"

namespace stepwell::front {

struct IoResult {
  enum State { kDone, kBlocked, kClosed };
  State state = kDone;
  size_t num_bytes = 0;  // with kDone, at least 1
};

// Concurrency: one thread. Nothing here waits.
class Transport {
 public:
  virtual ~Transport() = default;

  // For epoll.
  virtual int fd() const = 0;

  // Up to `size` bytes; kClosed when the peer has said its last or is gone.
  virtual IoResult Read(char* target, size_t size) = 0;

  // As many of the bytes as the system takes.
  virtual IoResult Write(absl::string_view bytes) = 0;

  // The peer reads the end of what was written.
  virtual void EndWrites() = 0;
};

// Of a connected, non-blocking socket.
std::unique_ptr<Transport> NewSocketTransport(Descriptor socket);

}  // namespace stepwell::front

#endif  // STEPWELL_CC_FRONT_TRANSPORT_H_
