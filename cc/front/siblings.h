// A front among those of other processes on its port: connections evenly over all.
#ifndef STEPWELL_CC_FRONT_SIBLINGS_H_
#define STEPWELL_CC_FRONT_SIBLINGS_H_

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "cc/front/descriptor.h"
#include "cc/front/sibling_page.h"
#include "cc/front/sibling_socket.h"

namespace stepwell::front {

// A place among siblings, as the SiblingHost gives it to a process; by descriptors.
struct SiblingSeat {
  int page = -1;
  int slot = 0;
  // By slot: where that sibling's connections are sent; at our own slot where ours come
  // in.
  std::vector<int> sockets;
};

// Whoever accepts a connection gives it to the sibling with the fewest, when that has
// fewer than itself.
//
// Concurrency: one thread at a time. Cost: giving and taking are a system call or two
// each; keeping one is a look at the page.
class Siblings {
 public:
  // Takes the seat's descriptors over, also when it fails, and keeps them from programs
  // that this process starts. A FieldError when they are no seat.
  static absl::StatusOr<std::unique_ptr<Siblings>> Join(const SiblingSeat& seat);
  ~Siblings() { Close(); }
  Siblings(const Siblings&) = delete;
  Siblings& operator=(const Siblings&) = delete;

  // Readable while somebody's gift waits.
  int inbox() const { return sockets_[slot_].get(); }

  // From now on until Close connections may come. Whatever waits in the inbox already
  // is taken as well.
  void Open();
  void Close();
  bool is_open() const { return generation_ != 0; }

  // True: it is a sibling's, and the caller closes its own descriptor. While closed,
  // any open sibling will do.
  bool Give(const Descriptor& connection);

  // What has come, connections counted as ours.
  Arrival Take();

  // One more that we keep, one that we had.
  void Add() { page_->Add(slot_, generation_); }
  void Remove() { page_->Remove(slot_, generation_); }

 private:
  Siblings(std::unique_ptr<SiblingPage> page, int slot, std::vector<Descriptor> sockets)
      : page_(std::move(page)), slot_(slot), sockets_(std::move(sockets)) {}

  const std::unique_ptr<SiblingPage> page_;
  const int slot_;
  const std::vector<Descriptor> sockets_;
  uint32_t generation_ = 0;  // 0: closed
};

}  // namespace stepwell::front

#endif  // STEPWELL_CC_FRONT_SIBLINGS_H_
