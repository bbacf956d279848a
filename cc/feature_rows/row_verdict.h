// Whether a stored row may be used: a pure function of its bytes and of two times.
//
// A row is used when it is whole, of the schema that this version reads, young enough
// by event time, and when its writer was alive of late by wall time.
#ifndef STEPWELL_CC_FEATURE_ROWS_ROW_VERDICT_H_
#define STEPWELL_CC_FEATURE_ROWS_ROW_VERDICT_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "cc/feature_rows/history_body.h"

namespace stepwell::feature_rows {

// A row begins with magic, version and flags (8 bytes), the key of its schema (8), the
// time of its newest event in unix seconds (8, 0 without one) and the time at which
// that was known in unix microseconds (8). The body follows.
inline constexpr int64_t kHeaderBytes = 32;
inline constexpr int64_t kMaxBodyBytes = 256 << 10;
// An event time may lie this far ahead of a request's: producers' clocks differ.
inline constexpr int64_t kMaxAheadSeconds = 86'400;

// What was found, in the order of stepwell.features.row_verdict; only kFresh is used.
enum class RowState : uint8_t {
  kFresh,        // young enough, and so is what its writer last said
  kMissing,      // nothing is stored
  kExpired,      // past the time to live
  kUnattended,   // the writer is past its window, or never said how far it is
  kDamaged,      // not the bytes of a row
  kOtherSchema,  // of another definition of the view
  kFromFuture,   // its events lie further ahead than clocks may differ
};
inline constexpr int kNumRowStates = 7;

// How the rows of one view look, and how old they may be.
struct StoredView {
  std::string prefix;      // the first 16 bytes of every row
  int64_t body_bytes = 0;  // of the struct; less than 0 for a history
  int64_t ttl_seconds = 0;
  int64_t freshness_us = 0;  // 0 for a view without a writer that must live

  bool has_history() const { return body_bytes < 0; }
};

struct Verdict {
  RowState state = RowState::kMissing;
  // Of the row at the request's event time, less than 0 where it is ahead; nullopt
  // without a row that can be read, or without an event in it.
  std::optional<int64_t> age_seconds = std::nullopt;
  // Of the writer's watermark; nullopt where it never left one.
  std::optional<int64_t> writer_age_us = std::nullopt;
  // Of a row that can be read, also of a stale one.
  std::optional<absl::string_view> body = std::nullopt;
  HistoryBody history = {};  // where the view has one, and `body` is there
};

// The two times that age is measured by.
struct Moment {
  int64_t event_time = 0;  // of the request, unix seconds
  int64_t wall_us = 0;     // now, unix microseconds
};

// The verdict on a row; no row is nullopt, and so is a watermark that was never left.
Verdict JudgeRow(const StoredView& view, std::optional<absl::string_view> row,
                 std::optional<int64_t> said_us, const Moment& moment);

// The same for a row that was used before, whatever its age: kFresh where it can be
// read.
Verdict ReadRow(const StoredView& view, std::optional<absl::string_view> row);

// The wall time that a writer's watermark tells, unix microseconds; nullopt for what is
// none.
std::optional<int64_t> ReadWatermark(absl::string_view watermark);

}  // namespace stepwell::feature_rows

#endif  // STEPWELL_CC_FEATURE_ROWS_ROW_VERDICT_H_
