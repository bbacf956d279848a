// Tells everybody who waits for a folder, in whatever process, that it has changed.
#ifndef STEPWELL_CC_EVENT_LOG_DOORBELL_H_
#define STEPWELL_CC_EVENT_LOG_DOORBELL_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace stepwell::event_log {

// A number in a small file that every process of the host maps, and a futex on it.
//
// inotify would tell of the write before LMDB's readers can see it, and once only; this
// number moves behind the commit. Who reads it first, looks second and waits third
// misses nothing. Rings are lost only with a process that dies between the two: a wait
// has a time limit.
//
// Concurrency: thread-safe, and between processes of one host.
class Doorbell {
 public:
  // Opens or creates the file, of a page. ResourceExhausted when the disk has no room
  // for it, Unavailable when it cannot be used.
  static absl::StatusOr<std::unique_ptr<Doorbell>> Open(const std::string& path);

  ~Doorbell();
  Doorbell(const Doorbell&) = delete;
  Doorbell& operator=(const Doorbell&) = delete;

  // Cost: one system call, about 0.3 us when nobody waits.
  void Ring();

  uint32_t num_rings() const { return word_->load(); }

  // Returns when the number is not `seen` any more or the time is over, and now and
  // then without a reason.
  void WaitBeyond(uint32_t seen, int64_t timeout_us) const;

 private:
  using Word = std::atomic<uint32_t>;
  static_assert(Word::is_always_lock_free && sizeof(Word) == sizeof(uint32_t));

  explicit Doorbell(void* page) : word_(static_cast<Word*>(page)) {}

  Word* const word_;
};

}  // namespace stepwell::event_log

#endif  // STEPWELL_CC_EVENT_LOG_DOORBELL_H_
