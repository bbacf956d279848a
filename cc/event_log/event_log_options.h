// How an event log is opened.
#ifndef STEPWELL_CC_EVENT_LOG_EVENT_LOG_OPTIONS_H_
#define STEPWELL_CC_EVENT_LOG_EVENT_LOG_OPTIONS_H_

#include <cstdint>

#include "absl/status/status.h"

namespace stepwell::event_log {

struct EventLogOptions {
  // Upper bound of the file; address space, not memory or disk.
  int64_t map_size_bytes = int64_t{16} << 30;
  // A commit returns after its meta page is on disk. Without it a power cut may undo
  // the last commits, whole ones in order.
  bool sync_meta = true;
  // Events and bytes (ids and payloads) that may wait for the disk; a batch beyond is
  // refused, and an event that nobody waits for already when half of either is taken.
  int64_t max_pending_events = 20'000;
  int64_t max_pending_bytes = 64 << 20;
  // Events that share one commit; a batch is never cut.
  int64_t max_group_events = 4'000;
  // What nobody waits for is kept so long for company; a batch that somebody waits for
  // takes it along at once.
  int64_t linger_us = 20'000;
};

// OK or a FieldError that names the option.
absl::Status CheckOptions(const EventLogOptions& options);

}  // namespace stepwell::event_log

#endif  // STEPWELL_CC_EVENT_LOG_EVENT_LOG_OPTIONS_H_
