#include "cc/front/siblings.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <limits>

#include "absl/strings/str_cat.h"
#include "cc/base/field_error.h"
#include "cc/base/status_macros.h"

namespace stepwell::front {
namespace {

Descriptor TakenOver(int number) {
  Descriptor descriptor(number);
  if (descriptor.is_open()) fcntl(number, F_SETFD, FD_CLOEXEC);
  return descriptor;
}

absl::Status CheckSockets(const std::vector<Descriptor>& sockets) {
  for (const Descriptor& socket : sockets) {
    int type = 0;
    socklen_t size = sizeof(type);
    if (getsockopt(socket.get(), SOL_SOCKET, SO_TYPE, &type, &size) == 0 &&
        type == SOCK_SEQPACKET) {
      continue;
    }
    return FieldError("sockets",
                      absl::StrCat("has ", socket.get(), ", which is no such socket"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Siblings>> Siblings::Join(const SiblingSeat& seat) {
  Descriptor memory = TakenOver(seat.page);
  std::vector<Descriptor> sockets;
  sockets.reserve(seat.sockets.size());
  for (const int socket : seat.sockets) sockets.push_back(TakenOver(socket));
  STEPWELL_ASSIGN_OR_RETURN(std::unique_ptr<SiblingPage> page,
                            SiblingPage::Map(std::move(memory)));
  const int num_slots = page->num_slots();
  STEPWELL_RETURN_IF_ERROR(CheckRange("slot", seat.slot, 0, num_slots - 1));
  STEPWELL_RETURN_IF_ERROR(CheckRange(
      "num_sockets", static_cast<int64_t>(sockets.size()), num_slots, num_slots));
  STEPWELL_RETURN_IF_ERROR(CheckSockets(sockets));
  return std::unique_ptr<Siblings>(
      new Siblings(std::move(page), seat.slot, std::move(sockets)));
}

void Siblings::Open() { generation_ = page_->Open(slot_); }

void Siblings::Close() {
  if (!is_open()) return;
  page_->Close(slot_);
  generation_ = 0;
}

bool Siblings::Give(const Descriptor& connection) {
  const int64_t own =
      is_open() ? page_->Count(slot_) : std::numeric_limits<int64_t>::max();
  return HandOver(connection, own, sockets_, page_.get());
}

Arrival Siblings::Take() {
  Arrival arrival = TakeArrival(inbox());
  if (arrival.kind == Arrival::kNothing || !is_open()) return arrival;
  const bool is_counted = arrival.generation == generation_;
  const bool counts = arrival.kind == Arrival::kConnection;
  if (counts && !is_counted) Add();
  if (!counts && is_counted) Remove();
  return arrival;
}

}  // namespace stepwell::front
