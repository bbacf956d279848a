#include "cc/event_log/event_log_options.h"

#include "cc/base/field_error.h"
#include "cc/base/status_macros.h"

namespace stepwell::event_log {
namespace {

constexpr int64_t kLeastMapBytes = 64 << 10;  // three empty tables and room to commit
constexpr int64_t kMostMapBytes = int64_t{1} << 46;
constexpr int64_t kMostPendingEvents = 10'000'000;
constexpr int64_t kMostPendingBytes = int64_t{1} << 40;
constexpr int64_t kMostLingerUs = int64_t{3'600} * 1'000'000;

}  // namespace

absl::Status CheckOptions(const EventLogOptions& options) {
  STEPWELL_RETURN_IF_ERROR(CheckRange("map_size_bytes", options.map_size_bytes,
                                      kLeastMapBytes, kMostMapBytes));
  STEPWELL_RETURN_IF_ERROR(CheckRange("max_pending_events", options.max_pending_events,
                                      1, kMostPendingEvents));
  STEPWELL_RETURN_IF_ERROR(
      CheckRange("max_pending_bytes", options.max_pending_bytes, 1, kMostPendingBytes));
  STEPWELL_RETURN_IF_ERROR(
      CheckRange("max_group_events", options.max_group_events, 1, kMostPendingEvents));
  return CheckRange("linger_us", options.linger_us, 0, kMostLingerUs);
}

}  // namespace stepwell::event_log
