// Readers that never wait, and a way for a writer to wait for them.
#ifndef STEPWELL_CC_INDEX_READER_GATE_H_
#define STEPWELL_CC_INDEX_READER_GATE_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>

namespace stepwell::index {

// Read-copy-update in user space: a reader holds a Guard while it follows pointers
// that a writer may replace; a writer replaces a pointer, calls Synchronize and may
// then free what the old pointer led to, since every Guard of that time is gone.
//
// A writer that must not wait takes a Ticket after it has replaced the pointer and
// frees once Passed(ticket): somebody's Synchronize has waited meanwhile.
//
// Concurrency: any thread may do anything; two Synchronize run one after the other.
// A thread must not call Synchronize while it holds a Guard, nor hold a mutex then
// for which the holder of a Guard may wait. Guards may be nested. Cost of a Guard:
// two atomic additions on a cache line shared with few other threads. Synchronize
// waits for the readers of its time and for some that begin meanwhile, never for an
// endless row of them. Source: McKenney, "Is Parallel Programming Hard", the
// counter-pair form of RCU (appendix B of the 2011 edition).
class ReaderGate {
 public:
  class Guard {
   public:
    explicit Guard(ReaderGate& gate);
    ~Guard();
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;

   private:
    std::atomic<int64_t>* counter_;
  };

  void Synchronize();

  // A mark of now, and whether every Guard of that time is known to be gone.
  uint64_t Ticket();
  bool Passed(uint64_t ticket) const;

 private:
  static constexpr size_t kStripes = 16;
  struct alignas(64) Counter {
    std::atomic<int64_t> readers{0};
  };

  static size_t StripeOfThread();
  static void WaitForZero(std::atomic<int64_t>& readers);

  // The parity is the half of counters_ that new readers use.
  std::atomic<uint64_t> phase_{0};
  std::array<std::array<Counter, kStripes>, 2> counters_;
  std::mutex synchronizing_;
  std::atomic<uint64_t> num_started_{0};
  std::atomic<uint64_t> num_finished_{0};
};

}  // namespace stepwell::index

#endif  // STEPWELL_CC_INDEX_READER_GATE_H_
