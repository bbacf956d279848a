#include "cc/feature_rows/row_verdict.h"

#include <algorithm>
#include <limits>

#include "cc/base/little_endian.h"

namespace stepwell::feature_rows {
namespace {

constexpr size_t kFormBytes = 8;  // magic, version, flags
constexpr size_t kPrefixBytes = 16;
constexpr int64_t kEventTimeAt = 16;
constexpr int64_t kWrittenAt = 24;
constexpr size_t kWatermarkBytes = 16;

// What is stored may be any number: the ends of the range stand for all beyond.
int64_t Difference(int64_t a, int64_t b) {
  int64_t difference = 0;
  if (!__builtin_sub_overflow(a, b, &difference)) return difference;
  return a < b ? std::numeric_limits<int64_t>::min()
               : std::numeric_limits<int64_t>::max();
}

RowState StateOf(const StoredView& view, const Verdict& verdict) {
  const std::optional<int64_t> age = verdict.age_seconds;
  if (age && *age < -kMaxAheadSeconds) return RowState::kFromFuture;
  const std::optional<int64_t> writer_age = verdict.writer_age_us;
  if (view.freshness_us > 0 && (!writer_age || *writer_age > view.freshness_us)) {
    return RowState::kUnattended;
  }
  if (age && *age > view.ttl_seconds) return RowState::kExpired;
  return RowState::kFresh;
}

}  // namespace

Verdict ReadRow(const StoredView& view, std::optional<absl::string_view> row) {
  if (!row) return {.state = RowState::kMissing};
  const Verdict damaged{.state = RowState::kDamaged};
  const auto size = static_cast<int64_t>(row->size());
  if (size < kHeaderBytes || size > kHeaderBytes + kMaxBodyBytes) return damaged;
  const absl::string_view prefix = row->substr(0, kPrefixBytes);
  if (prefix.substr(0, kFormBytes) != view.prefix.substr(0, kFormBytes)) return damaged;
  if (NumberAt<int64_t>(row->data() + kEventTimeAt) < 0 ||
      NumberAt<int64_t>(row->data() + kWrittenAt) < 0) {
    return damaged;
  }
  if (prefix != view.prefix) return {.state = RowState::kOtherSchema};
  Verdict verdict{.state = RowState::kFresh, .body = row->substr(kHeaderBytes)};
  if (!view.has_history()) {
    return size - kHeaderBytes == view.body_bytes ? verdict : damaged;
  }
  const std::optional<HistoryBody> history = ReadHistory(*verdict.body);
  if (!history) return damaged;
  verdict.history = *history;
  return verdict;
}

Verdict JudgeRow(const StoredView& view, std::optional<absl::string_view> row,
                 std::optional<int64_t> said_us, const Moment& moment) {
  Verdict verdict = ReadRow(view, row);
  if (said_us) {
    verdict.writer_age_us = std::max<int64_t>(Difference(moment.wall_us, *said_us), 0);
  }
  if (!row || !verdict.body) return verdict;
  const auto newest = NumberAt<int64_t>(row->data() + kEventTimeAt);
  if (newest != 0) verdict.age_seconds = Difference(moment.event_time, newest);
  verdict.state = StateOf(view, verdict);
  return verdict;
}

std::optional<int64_t> ReadWatermark(absl::string_view watermark) {
  if (watermark.size() != kWatermarkBytes) return std::nullopt;
  return NumberAt<int64_t>(watermark.data());
}

}  // namespace stepwell::feature_rows
