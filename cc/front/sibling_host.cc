#include "cc/front/sibling_host.h"

#include <sys/socket.h>

#include <array>
#include <limits>

#include "cc/base/status_macros.h"
#include "cc/front/sibling_socket.h"

namespace stepwell::front {
namespace {

// More than a socket holds, so that who goes on sending keeps nobody busy for ever.
constexpr int kMostPassedOn = 4096;

constexpr int64_t kAnybody = std::numeric_limits<int64_t>::max();

}  // namespace

absl::StatusOr<std::unique_ptr<SiblingHost>> SiblingHost::Create(int num_slots) {
  STEPWELL_ASSIGN_OR_RETURN(std::unique_ptr<SiblingPage> page,
                            SiblingPage::Create(num_slots));
  std::unique_ptr<SiblingHost> host(new SiblingHost(std::move(page)));
  for (int slot = 0; slot < num_slots; ++slot) {
    std::array<int, 2> ends = {-1, -1};
    // A queue of datagrams holds ten by default.
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
      return absl::UnavailableError("no file descriptor is left for the siblings");
    }
    host->inboxes_.emplace_back(ends[0]);
    host->outboxes_.emplace_back(ends[1]);
  }
  return host;
}

SiblingSeat SiblingHost::SeatOf(int slot) const {
  SiblingSeat seat = {page_->fd(), slot, {}};
  for (const Descriptor& outbox : outboxes_) seat.sockets.push_back(outbox.get());
  seat.sockets[slot] = inbox(slot);
  return seat;
}

SiblingHost::PassedOn SiblingHost::PassOn(int slot) {
  PassedOn passed;
  for (int i = 0; i < kMostPassedOn && Count(slot) == SiblingPage::kClosed; ++i) {
    const Arrival arrival = TakeArrival(inbox(slot));
    if (arrival.kind == Arrival::kNothing) break;
    const bool is_given =
        arrival.kind == Arrival::kConnection &&
        HandOver(arrival.connection, kAnybody, outboxes_, page_.get());
    ++(is_given ? passed.num_given : passed.num_closed);
  }
  return passed;
}

}  // namespace stepwell::front
