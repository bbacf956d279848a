// A thread that tidies up behind writers.
#ifndef STEPWELL_CC_INDEX_RECLAIMER_H_
#define STEPWELL_CC_INDEX_RECLAIMER_H_

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>

namespace stepwell::index {

// Runs one piece of work again and again in a thread of the lowest priority, when it is
// asked to: now, or when there is time for it.
//
// Concurrency: every method but the destructor from any thread. The thread starts with
// the first request. The destructor asks the work to stop and waits for it. Source of
// time: the steady clock; `rest` is the least time between an end of the work and the
// next lazy begin, and a lazy begin also waits twenty times as long as the work took,
// so that lazy work costs a twentieth of a core.
class Reclaimer {
 public:
  // Returns soon after `stop` has become true.
  using Work = std::function<void(const std::atomic<bool>& stop)>;

  explicit Reclaimer(Work work,
                     std::chrono::nanoseconds rest = std::chrono::seconds(1));
  ~Reclaimer();
  Reclaimer(const Reclaimer&) = delete;
  Reclaimer& operator=(const Reclaimer&) = delete;

  // Both return at once; the work then begins once more after the call. Throw
  // std::system_error when there is no thread to be had.
  void RunSoon();
  void RunNow();

  int64_t num_runs() const;  // ended

 private:
  enum class Request { kNone, kSoon, kNow };
  using Clock = std::chrono::steady_clock;

  void Ask(Request request);
  void Loop();
  bool AwaitRequest(std::unique_lock<std::mutex>& lock);

  const Work work_;
  const std::chrono::nanoseconds rest_;
  std::atomic<bool> stop_{false};  // written under mutex_

  mutable std::mutex mutex_;
  std::condition_variable asked_;
  Request request_ = Request::kNone;
  Clock::time_point lazy_begin_;  // not before
  int64_t num_ended_ = 0;
  std::thread thread_;
};

}  // namespace stepwell::index

#endif  // STEPWELL_CC_INDEX_RECLAIMER_H_
