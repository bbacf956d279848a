#include "cc/feature_rows/history_body.h"

#include <cstddef>

#include "cc/base/little_endian.h"

namespace stepwell::feature_rows {
namespace {

// magic, version u16, segment bytes u16, items u32, events, trips, first and last event
// time i64; then the segment, then the columns.
constexpr absl::string_view kMagic = "SWUH";
constexpr uint16_t kVersion = 1;
constexpr int64_t kHeaderBytes = 44;
constexpr int64_t kItemBytes = 36;

// Bytes that follow this first byte, and the least code point they may spell; length -1
// for no first byte.
struct Sequence {
  int length = -1;
  uint32_t bits = 0;
  uint32_t least = 0;
};

Sequence SequenceOf(uint8_t first) {
  if (first < 0x80) return {0, first, 0};
  if (first >> 5 == 0x6) return {1, first & 0x1fu, 0x80};
  if (first >> 4 == 0xe) return {2, first & 0x0fu, 0x800};
  if (first >> 3 == 0x1e) return {3, first & 0x07u, 0x10000};
  return {};
}

}  // namespace

bool IsUtf8(absl::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const Sequence sequence = SequenceOf(static_cast<uint8_t>(text[i++]));
    uint32_t point = sequence.bits;
    if (sequence.length < 0) return false;
    for (int j = 0; j < sequence.length; ++j, ++i) {
      if (i == text.size()) return false;
      const auto byte = static_cast<uint8_t>(text[i]);
      if (byte >> 6 != 0x2) return false;
      point = point << 6 | (byte & 0x3fu);
    }
    const bool is_surrogate = point >= 0xd800 && point <= 0xdfff;
    if (point < sequence.least || point > 0x10ffff || is_surrogate) return false;
  }
  return true;
}

std::optional<HistoryBody> ReadHistory(absl::string_view body) {
  const auto size = static_cast<int64_t>(body.size());
  if (size < kHeaderBytes || body.substr(0, 4) != kMagic) return std::nullopt;
  const char* at = body.data();
  const auto segment_bytes = NumberAt<uint16_t>(at + 6);
  const HistoryBody history{
      .num_items = NumberAt<uint32_t>(at + 8),
      .num_events = NumberAt<int64_t>(at + 12),
      .num_trips = NumberAt<int64_t>(at + 20),
      .first_event_time = NumberAt<int64_t>(at + 28),
      .last_event_time = NumberAt<int64_t>(at + 36),
      .segment = body.substr(kHeaderBytes, segment_bytes),
      .columns = at + kHeaderBytes + segment_bytes,
  };
  const int64_t expected =
      kHeaderBytes + segment_bytes + history.num_items * kItemBytes;
  if (NumberAt<uint16_t>(at + 4) != kVersion || size != expected) return std::nullopt;
  if (!IsUtf8(history.segment)) return std::nullopt;
  return history;
}

}  // namespace stepwell::feature_rows
