#include "cc/event_log/event.h"

#include "cc/base/field_error.h"
#include "cc/base/status_macros.h"

namespace stepwell::event_log {

absl::Status CheckBatchSize(int64_t num_events) {
  return CheckRange("number of events", num_events, 1, kMaxBatchEvents);
}

absl::Status CheckRecordSize(int64_t id_bytes, int64_t payload_bytes) {
  STEPWELL_RETURN_IF_ERROR(CheckRange("size of event_id", id_bytes, 1, kMaxIdBytes));
  return CheckRange("size of payload", payload_bytes, 0, kMaxPayloadBytes);
}

absl::Status CheckBatch(absl::Span<const Record> batch) {
  STEPWELL_RETURN_IF_ERROR(CheckBatchSize(static_cast<int64_t>(batch.size())));
  for (const Record& record : batch) {
    STEPWELL_RETURN_IF_ERROR(
        CheckRecordSize(static_cast<int64_t>(record.id.size()),
                        static_cast<int64_t>(record.payload.size())));
  }
  return absl::OkStatus();
}

}  // namespace stepwell::event_log
