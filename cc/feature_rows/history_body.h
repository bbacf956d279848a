// The body of a row of the view user_history, as stepwell.schema.user_history packs it.
#ifndef STEPWELL_CC_FEATURE_ROWS_HISTORY_BODY_H_
#define STEPWELL_CC_FEATURE_ROWS_HISTORY_BODY_H_

#include <array>
#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"

namespace stepwell::feature_rows {

// Bytes of one item in each column, in the order of the columns: keys, num_purchases,
// first_time, last_time, decayed_count, total_value.
inline constexpr std::array<int64_t, 6> kColumnBytes = {8, 4, 8, 8, 4, 4};

// All of it lies in the bytes it was read from, the columns at any address.
struct HistoryBody {
  int64_t num_items = 0;  // H
  int64_t num_events = 0;
  int64_t num_trips = 0;
  int64_t first_event_time = 0;  // unix seconds
  int64_t last_event_time = 0;   // unix seconds
  absl::string_view segment;     // UTF-8
  const char* columns = nullptr;
};

// nullopt for what is no history: of another form or version, of another length than it
// says, or with a segment that is no UTF-8. Cost: some 20 ns, whatever the length.
std::optional<HistoryBody> ReadHistory(absl::string_view body);

// Whether it is UTF-8 as Python reads it: shortest forms, no surrogates.
bool IsUtf8(absl::string_view text);

}  // namespace stepwell::feature_rows

#endif  // STEPWELL_CC_FEATURE_ROWS_HISTORY_BODY_H_
