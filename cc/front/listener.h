// The listening socket.
#ifndef STEPWELL_CC_FRONT_LISTENER_H_
#define STEPWELL_CC_FRONT_LISTENER_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cc/front/descriptor.h"

namespace stepwell::front {

// Concurrency: one thread at a time.
class Listener {
 public:
  // Takes the port and does not accept. `host` is a name or an address, of IPv4 or
  // IPv6; the first of its addresses that can be bound. Unavailable "cannot listen on
  // host:port: ..." otherwise.
  static absl::StatusOr<std::unique_ptr<Listener>> Bind(const std::string& host,
                                                        int port, bool shared);

  absl::Status Listen();

  int fd() const { return socket_.get(); }
  int port() const { return port_; }

  // A connected, non-blocking socket without Nagle's delay; not open when nobody waits.
  // When the process has no descriptor left, who waits is turned away and not left to
  // wait for ever.
  Descriptor Accept();

 private:
  Listener(Descriptor socket, std::string name);
  bool TurnAway();

  Descriptor socket_;
  Descriptor spare_;  // given up for a moment to turn somebody away
  const std::string name_;
  int port_ = 0;
};

}  // namespace stepwell::front

#endif  // STEPWELL_CC_FRONT_LISTENER_H_
