// One event as the bytes of one value of the file.
#ifndef STEPWELL_CC_EVENT_LOG_STORED_FRAME_H_
#define STEPWELL_CC_EVENT_LOG_STORED_FRAME_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cc/event_log/event.h"

namespace stepwell::event_log {

// A number as the file keeps it: eight bytes, big-endian, so that keys sort by offset.
using PackedNumber = std::array<char, 8>;
PackedNumber Pack(int64_t number);

// DataLoss when it is not eight bytes of a number that is not negative.
absl::StatusOr<int64_t> Unpack(absl::string_view bytes);

// crc32 (4 bytes) of the offset and all that follows, size of the id (2), id, payload.
// Integers of a frame are little-endian.
size_t FrameBytes(const Record& record);

// Writes FrameBytes(record) bytes. Cost: a copy and a checksum, about 1 ns a byte.
void WriteFrame(const PackedNumber& offset, const Record& record, char* out);

// The id of a frame that nothing has vouched for; "" when the bytes are too few.
absl::string_view PeekId(absl::string_view frame);

// DataLoss when the bytes are too few or fail their checksum; names the event.
absl::StatusOr<StoredEvent> ReadFrame(int64_t offset, absl::string_view frame);

}  // namespace stepwell::event_log

#endif  // STEPWELL_CC_EVENT_LOG_STORED_FRAME_H_
