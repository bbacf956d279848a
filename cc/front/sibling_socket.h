// A connection from one process to another.
#ifndef STEPWELL_CC_FRONT_SIBLING_SOCKET_H_
#define STEPWELL_CC_FRONT_SIBLING_SOCKET_H_

#include <cstdint>
#include <vector>

#include "cc/front/descriptor.h"
#include "cc/front/sibling_page.h"

namespace stepwell::front {

// Sends the connection to the one with the fewest, when that has fewer than `below`:
// counted for it, and in its socket (SCM_RIGHTS). The caller closes its own then.
// `outboxes` by slot. False, and nothing has changed, when there is none, or its socket
// is full.
bool HandOver(const Descriptor& connection, int64_t below,
              const std::vector<Descriptor>& outboxes, SiblingPage* page);

struct Arrival {
  enum Kind {
    kNothing,
    kConnection,
    kUnusable,  // it was no connection, or no descriptor was left for it; closed
  };
  Kind kind = kNothing;
  Descriptor connection;
  uint32_t generation = 0;  // for which it was counted
};

// The next connection that waits in a socket; it is a non-blocking stream.
Arrival TakeArrival(int inbox);

}  // namespace stepwell::front

#endif  // STEPWELL_CC_FRONT_SIBLING_SOCKET_H_
