// The way from those who answer to the I/O thread.
#ifndef STEPWELL_CC_FRONT_OUTBOX_H_
#define STEPWELL_CC_FRONT_OUTBOX_H_

#include <mutex>
#include <vector>

#include "cc/front/call.h"
#include "cc/front/signal_fd.h"

namespace stepwell::front {

// Concurrency: Post and Wake from any thread, the rest from the I/O thread. Bound: an
// end for each call that is open; messages of streams as their methods send them.
// Cost: Post is a lock and a move, and a system call when the I/O thread sleeps.
class Outbox : public ReplySink {
 public:
  void Post(Reply reply) override;

  // Ends the I/O thread's sleep.
  void Wake() { signal_.Raise(); }

  bool is_open() const { return signal_.is_open(); }

  // Readable after a Post during sleep, or Wake.
  int fd() const { return signal_.fd(); }

  // From now on Post wakes, until TakeAll. False when replies wait: do not sleep.
  bool BeginSleep();

  // What was posted, in order; *replies is empty before.
  void TakeAll(std::vector<Reply>* replies);

  void ClearSignal() { signal_.Clear(); }

  // Drops what waits and all that comes: nobody reads it any more.
  void Close();

 private:
  const SignalFd signal_;
  std::mutex mutex_;
  std::vector<Reply> replies_;
  bool sleeps_ = false;
  bool closed_ = false;
};

}  // namespace stepwell::front

#endif  // STEPWELL_CC_FRONT_OUTBOX_H_
