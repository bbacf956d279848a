// The small texts of gRPC over HTTP/2: timeouts, messages for people, binary metadata,
// the prefix of a message.
// Source: grpc/doc/PROTOCOL-HTTP2.md.
#ifndef STEPWELL_CC_FRONT_GRPC_WIRE_H_
#define STEPWELL_CC_FRONT_GRPC_WIRE_H_

#include <array>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace stepwell::front {

// The numbers of grpc-status that the front itself says.
inline constexpr int kCodeOk = 0;
inline constexpr int kCodeCancelled = 1;
inline constexpr int kCodeDeadlineExceeded = 4;
inline constexpr int kCodeResourceExhausted = 8;
inline constexpr int kCodeUnimplemented = 12;
inline constexpr int kCodeInternal = 13;
inline constexpr int kCodeUnavailable = 14;

// The value of grpc-timeout: up to eight digits and a unit. A part of a microsecond
// counts as a whole one.
absl::StatusOr<int64_t> ParseTimeoutUs(absl::string_view value);

// The value of grpc-message: everything but printable ASCII, and the percent sign, as
// %XX.
std::string PercentEncode(absl::string_view message);

// Values of "-bin" metadata: sent without padding, read with and without it.
std::string Base64Encode(absl::string_view bytes);
absl::StatusOr<std::string> Base64Decode(absl::string_view text);

inline constexpr size_t kPrefixBytes = 5;

// What stands before every message: that it is not compressed, and its length.
std::array<char, kPrefixBytes> MessagePrefix(size_t size);

}  // namespace stepwell::front

#endif  // STEPWELL_CC_FRONT_GRPC_WIRE_H_
