// How many connections each process of a crew has, in memory that all of them share.
#ifndef STEPWELL_CC_FRONT_SIBLING_PAGE_H_
#define STEPWELL_CC_FRONT_SIBLING_PAGE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cc/front/descriptor.h"

namespace stepwell::front {

// A slot belongs to one process at a time. It is closed while nobody has it or its
// owner takes no connections, and it gets a new generation when it opens: who counted
// a connection for a former owner does not change the count of the next one.
//
// Concurrency: thread-safe, also between processes; nothing waits. A process that dies
// between Claim and what it was for leaves the slot's count one too high, until that
// slot opens again. Memory: a cache line a slot.
class SiblingPage {
 public:
  static constexpr int kMostSlots = 128;
  static constexpr int64_t kClosed = -1;

  // What Claim has counted.
  struct Claimed {
    int slot = 0;
    uint32_t generation = 0;  // never 0
  };

  // A new page with all slots closed; its size is sealed, so that nobody's access can
  // fail. Unavailable when the system has no descriptor or no memory for it.
  static absl::StatusOr<std::unique_ptr<SiblingPage>> Create(int num_slots);

  // The page behind a descriptor. A FieldError when it is none.
  static absl::StatusOr<std::unique_ptr<SiblingPage>> Map(Descriptor memory);

  ~SiblingPage();
  SiblingPage(const SiblingPage&) = delete;
  SiblingPage& operator=(const SiblingPage&) = delete;

  int fd() const { return memory_.get(); }
  int num_slots() const { return num_slots_; }

  // kClosed, or how many.
  int64_t Count(int slot) const;

  // With no connections; the generation that the other methods ask for.
  uint32_t Open(int slot);
  void Close(int slot);

  // Counts one connection more, or less. Nothing when the slot is closed or of another
  // generation.
  void Add(int slot, uint32_t generation);
  void Remove(int slot, uint32_t generation);

  // Counts one more for the open slot with the fewest, if it has fewer than `below`;
  // of equals for the first. Nothing when there is none, or others are quicker again
  // and again.
  std::optional<Claimed> Claim(int64_t below);

 private:
  // The generation above, 0 or one more than the count below: memory of zeros is
  // closed.
  struct alignas(64) Slot {
    std::atomic<uint64_t> word;
  };
  static_assert(std::atomic<uint64_t>::is_always_lock_free);

  SiblingPage(Descriptor memory, Slot* slots, int num_slots)
      : memory_(std::move(memory)), slots_(slots), num_slots_(num_slots) {}

  void Change(int slot, uint32_t generation, int change);
  int Fewest(int64_t below) const;

  const Descriptor memory_;
  Slot* const slots_;
  const int num_slots_;
};

}  // namespace stepwell::front

#endif  // STEPWELL_CC_FRONT_SIBLING_PAGE_H_
