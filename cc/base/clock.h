// Monotonic time as an argument.
#ifndef STEPWELL_CC_BASE_CLOCK_H_
#define STEPWELL_CC_BASE_CLOCK_H_

#include <atomic>
#include <cstdint>

namespace stepwell {

// Concurrency: implementations are thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;

  // Nanoseconds that never jump; only differences mean something.
  virtual int64_t NowNanos() const = 0;

  // The machine's monotonic clock; lives for ever. About 25 ns a call.
  static const Clock& Steady();
};

// Moves by `step_nanos` at every reading and when told to: a test then knows
// how often the code has looked.
class FakeClock : public Clock {
 public:
  explicit FakeClock(int64_t step_nanos = 0) : step_nanos_(step_nanos) {}

  int64_t NowNanos() const override { return now_nanos_.fetch_add(step_nanos_); }
  void AdvanceNanos(int64_t nanos) { now_nanos_ += nanos; }

 private:
  const int64_t step_nanos_;
  mutable std::atomic<int64_t> now_nanos_{0};
};

}  // namespace stepwell

#endif  // STEPWELL_CC_BASE_CLOCK_H_
