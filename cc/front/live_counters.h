// FrontCounters while they count.
#ifndef STEPWELL_CC_FRONT_LIVE_COUNTERS_H_
#define STEPWELL_CC_FRONT_LIVE_COUNTERS_H_

#include <array>
#include <atomic>
#include <cstdint>

#include "cc/front/front_options.h"

namespace stepwell::front {

// Written by one thread, read by any: no locked instruction, no lost count.
class LiveCounter {
 public:
  void Add(int64_t change) {
    value_.store(value() + change, std::memory_order_relaxed);
  }
  int64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> value_{0};
};

// Concurrency: counted by the I/O thread alone; Snapshot from any.
struct LiveCounters {
  LiveCounter num_calls, num_open, num_connections, num_accepted, num_rejected;
  std::array<LiveCounter, 3> num_refused_overload;
  LiveCounter num_refused_late, num_expired, num_too_large, num_metadata_too_large;
  LiveCounter num_unknown_method, num_malformed, num_cancelled, bytes_in, bytes_out;
  LiveCounter num_given, num_adopted, num_unusable;

  FrontCounters Snapshot() const;
};

}  // namespace stepwell::front

#endif  // STEPWELL_CC_FRONT_LIVE_COUNTERS_H_
