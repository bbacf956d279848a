#include "cc/base/clock.h"

#include <chrono>

namespace stepwell {
namespace {

class SteadyClock : public Clock {
 public:
  int64_t NowNanos() const override {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(
               std::chrono::steady_clock::now().time_since_epoch())
        .count();
  }
};

}  // namespace

const Clock& Clock::Steady() {
  static const SteadyClock* const kClock = new SteadyClock;
  return *kClock;
}

}  // namespace stepwell
