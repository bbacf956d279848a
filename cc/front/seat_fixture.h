// A seat of this process, which has the host too.
#ifndef STEPWELL_CC_FRONT_SEAT_FIXTURE_H_
#define STEPWELL_CC_FRONT_SEAT_FIXTURE_H_

#include <unistd.h>

#include "cc/front/sibling_host.h"

namespace stepwell::front {

// Descriptors of its own, as a child process would have.
inline SiblingSeat InheritedSeat(const SiblingHost& host, int slot) {
  SiblingSeat seat = host.SeatOf(slot);
  seat.page = dup(seat.page);
  for (int& socket : seat.sockets) socket = dup(socket);
  return seat;
}

}  // namespace stepwell::front

#endif  // STEPWELL_CC_FRONT_SEAT_FIXTURE_H_
