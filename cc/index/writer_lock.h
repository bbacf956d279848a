// Many writers side by side, or one thread alone.
#ifndef STEPWELL_CC_INDEX_WRITER_LOCK_H_
#define STEPWELL_CC_INDEX_WRITER_LOCK_H_

#include <mutex>
#include <shared_mutex>

namespace stepwell::index {

// A shared mutex on which a thread that wants to be alone is not starved by a stream
// of sharers: who comes after it waits at the turnstile. For std::shared_lock and
// std::unique_lock. Not recursive.
class WriterLock {
 public:
  void lock_shared() {
    std::lock_guard turn(turnstile_);
    mutex_.lock_shared();
  }
  void unlock_shared() { mutex_.unlock_shared(); }
  void lock() {
    std::lock_guard turn(turnstile_);
    mutex_.lock();
  }
  void unlock() { mutex_.unlock(); }

 private:
  std::mutex turnstile_;
  std::shared_mutex mutex_;
};

}  // namespace stepwell::index

#endif  // STEPWELL_CC_INDEX_WRITER_LOCK_H_
