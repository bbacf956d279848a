// Who starts the processes on one port, and keeps what joins them.
#ifndef STEPWELL_CC_FRONT_SIBLING_HOST_H_
#define STEPWELL_CC_FRONT_SIBLING_HOST_H_

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "cc/front/descriptor.h"
#include "cc/front/sibling_page.h"
#include "cc/front/siblings.h"

namespace stepwell::front {

// The page and a pair of sockets for each slot, both ends of which live as long as
// this: what is in a socket outlives the process that it was meant for.
//
// Concurrency: one thread at a time.
class SiblingHost {
 public:
  struct PassedOn {
    int num_given = 0;
    int num_closed = 0;  // nobody took them
  };

  // Unavailable when the process has no descriptors left, a FieldError for num_slots
  // out of [1, SiblingPage::kMostSlots].
  static absl::StatusOr<std::unique_ptr<SiblingHost>> Create(int num_slots);

  // The descriptors for the process that gets the slot; they stay the host's.
  SiblingSeat SeatOf(int slot) const;

  // Readable while connections wait that nobody has taken.
  int inbox(int slot) const { return inboxes_[slot].get(); }

  int num_slots() const { return page_->num_slots(); }
  int64_t Count(int slot) const { return page_->Count(slot); }

  // The slot's process has ended: nobody gives it connections any more.
  void Close(int slot) { page_->Close(slot); }

  // What waits in a closed slot's socket goes to others, or is closed, which tells its
  // caller to come again. An open one's owner takes it.
  PassedOn PassOn(int slot);

 private:
  explicit SiblingHost(std::unique_ptr<SiblingPage> page) : page_(std::move(page)) {}

  const std::unique_ptr<SiblingPage> page_;
  std::vector<Descriptor> inboxes_;
  std::vector<Descriptor> outboxes_;
};

}  // namespace stepwell::front

#endif  // STEPWELL_CC_FRONT_SIBLING_HOST_H_
