// What goes into the log and what comes out of it.
#ifndef STEPWELL_CC_EVENT_LOG_EVENT_H_
#define STEPWELL_CC_EVENT_LOG_EVENT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"

namespace stepwell::event_log {

inline constexpr int64_t kMaxIdBytes = 300;
inline constexpr int64_t kMaxPayloadBytes = int64_t{1} << 20;
inline constexpr int64_t kMaxBatchEvents = 1'000;
inline constexpr int64_t kMaxReadEvents = 100'000;
inline constexpr int64_t kMaxConsumerBytes = 64;

// A repeated id is the same event.
struct Record {
  std::string id;
  std::string payload;
};

// Stored all or nothing.
using Batch = std::vector<Record>;

// Offsets start at 0 and grow by one.
struct StoredEvent {
  int64_t offset = 0;
  std::string id;
  std::string payload;
};

// What a reader found that passes some events by.
struct SomeEvents {
  std::vector<StoredEvent> events;
  int64_t next_offset = 0;  // behind the last event looked at
};

// The proof that a batch is durable.
struct Receipt {
  std::vector<int64_t> offsets;  // of each event; of a repeated one its first place
  int64_t num_stored = 0;        // events of the batch that were new
};

// OK or a FieldError. They look at sizes alone, so that a border can ask before it
// copies anything.
absl::Status CheckBatchSize(int64_t num_events);
absl::Status CheckRecordSize(int64_t id_bytes, int64_t payload_bytes);

absl::Status CheckBatch(absl::Span<const Record> batch);

}  // namespace stepwell::event_log

#endif  // STEPWELL_CC_EVENT_LOG_EVENT_H_
