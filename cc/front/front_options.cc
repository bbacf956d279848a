#include "cc/front/front_options.h"

#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cc/base/field_error.h"
#include "cc/base/status_macros.h"

namespace stepwell::front {
namespace {

constexpr int64_t kMostMillis = 86'400'000;
constexpr int kMostFieldNumber = (1 << 29) - 1;

absl::Status CheckEntryLimits(const MethodOptions& method) {
  if (method.entry_limits.size() > kMostEntryLimits) {
    return FieldError("entry_limits",
                      absl::StrCat("has ", method.entry_limits.size(),
                                   " entries, must have at most ", kMostEntryLimits));
  }
  if (method.streaming && !method.entry_limits.empty()) {
    return FieldError("entry_limits",
                      absl::StrCat("is set for ", method.path,
                                   ", which is streaming: only one is possible"));
  }
  for (const EntryLimit& limit : method.entry_limits) {
    STEPWELL_RETURN_IF_ERROR(
        CheckRange("entry_limits.field", limit.field, 1, kMostFieldNumber));
    STEPWELL_RETURN_IF_ERROR(
        CheckRange("entry_limits.max_entries", limit.max_entries, 0, INT32_MAX));
  }
  return absl::OkStatus();
}

absl::Status CheckMethod(const MethodOptions& method) {
  if (!absl::StartsWith(method.path, "/")) {
    return FieldError("path",
                      absl::StrCat("is '", method.path, "', must begin with /"));
  }
  if (method.queued && method.streaming) {
    return FieldError("streaming",
                      absl::StrCat("is set for ", method.path,
                                   ", which is queued: only one is possible"));
  }
  const std::pair<const char*, int> fields[] = {
      {"priority_field", method.priority_field},
      {"deadline_ms_field", method.deadline_ms_field},
      {"key_field", method.key_field},
      {"forced_field", method.forced_field},
  };
  for (const auto& [name, number] : fields) {
    STEPWELL_RETURN_IF_ERROR(CheckRange(name, number, 0, kMostFieldNumber));
  }
  return CheckEntryLimits(method);
}

absl::Status CheckBytes(const FrontOptions& options) {
  constexpr int64_t kMost = int64_t{1} << 40;
  STEPWELL_RETURN_IF_ERROR(
      CheckRange("max_message_bytes", options.max_message_bytes, 1, 1 << 30));
  STEPWELL_RETURN_IF_ERROR(
      CheckRange("max_metadata_bytes", options.max_metadata_bytes, 256, 1 << 20));
  STEPWELL_RETURN_IF_ERROR(CheckRange("max_partial_bytes_per_connection",
                                      options.max_partial_bytes_per_connection,
                                      options.max_message_bytes, kMost));
  STEPWELL_RETURN_IF_ERROR(CheckRange("max_partial_bytes", options.max_partial_bytes,
                                      options.max_partial_bytes_per_connection, kMost));
  return CheckRange("max_unread_bytes", options.max_unread_bytes, 1 << 16, kMost);
}

absl::Status CheckTimes(const FrontOptions& options) {
  STEPWELL_RETURN_IF_ERROR(CheckRange("max_connection_age_ms",
                                      options.max_connection_age_ms, 0, kMostMillis));
  STEPWELL_RETURN_IF_ERROR(CheckRange("connection_age_grace_ms",
                                      options.connection_age_grace_ms, 0, kMostMillis));
  STEPWELL_RETURN_IF_ERROR(
      CheckRange("max_deadline_us", options.max_deadline_us, 1, kMostMillis * 1000));
  STEPWELL_RETURN_IF_ERROR(CheckRange(
      "default_deadline_us", options.default_deadline_us, 1, kMostMillis * 1000));
  STEPWELL_RETURN_IF_ERROR(
      CheckRange("preface_timeout_ms", options.preface_timeout_ms, 1, kMostMillis));
  STEPWELL_RETURN_IF_ERROR(
      CheckRange("keepalive_ms", options.keepalive_ms, 1, kMostMillis));
  return CheckRange("keepalive_timeout_ms", options.keepalive_timeout_ms, 1,
                    kMostMillis);
}

}  // namespace

absl::Status CheckOptions(const FrontOptions& options) {
  STEPWELL_RETURN_IF_ERROR(CheckRange("port", options.port, 0, 65535));
  if (options.host.empty()) return FieldError("host", "is empty, must be an address");
  STEPWELL_RETURN_IF_ERROR(
      CheckRange("max_connections", options.max_connections, 1, 1 << 20));
  STEPWELL_RETURN_IF_ERROR(CheckRange("max_streams_per_connection",
                                      options.max_streams_per_connection, 1, 1 << 16));
  STEPWELL_RETURN_IF_ERROR(
      CheckRange("max_side_events", options.max_side_events, 1, 1 << 20));
  STEPWELL_RETURN_IF_ERROR(CheckBytes(options));
  return CheckTimes(options);
}

absl::Status CheckMethods(const std::vector<MethodOptions>& methods) {
  std::set<std::string> paths;
  for (const MethodOptions& method : methods) {
    STEPWELL_RETURN_IF_ERROR(CheckMethod(method));
    if (!paths.insert(method.path).second) {
      return FieldError("path", absl::StrCat("is '", method.path, "' twice"));
    }
  }
  return absl::OkStatus();
}

}  // namespace stepwell::front
