#include "cc/front/refusal.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "cc/front/grpc_wire.h"

namespace stepwell::front {
namespace {

// Written by hand: three messages of seven fields are no reason to link protobuf.
class Writer {
 public:
  // Zero is the default, which is not written.
  void WriteNumber(int field, uint64_t value) {
    if (value == 0) return;
    WriteVarint(uint64_t{static_cast<uint32_t>(field)} << 3);
    WriteVarint(value);
  }

  void WriteBytes(int field, absl::string_view value) {
    WriteVarint((uint64_t{static_cast<uint32_t>(field)} << 3) | 2);
    WriteVarint(value.size());
    bytes_.append(value.data(), value.size());
  }

  const std::string& bytes() const { return bytes_; }

 private:
  void WriteVarint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>(value | 0x80);
    bytes_ += static_cast<char>(value);
  }

  std::string bytes_;
};

std::string OverloadText(int64_t num_ahead) {
  return absl::StrCat("overloaded: ", num_ahead, " requests are ahead");
}

// google.rpc.RetryInfo { google.protobuf.Duration retry_delay = 1; }
std::string RetryInfo(int64_t delay_ms) {
  Writer duration;
  duration.WriteNumber(1, static_cast<uint64_t>(delay_ms / 1'000));
  duration.WriteNumber(2, static_cast<uint64_t>(delay_ms % 1'000 * 1'000'000));
  Writer info;
  info.WriteBytes(1, duration.bytes());
  return info.bytes();
}

// google.rpc.Status { int32 code = 1; string message = 2; repeated Any details = 3; }
std::string OverloadDetails(int64_t num_ahead, int64_t pushback_ms) {
  Writer any;
  any.WriteBytes(1, "type.googleapis.com/google.rpc.RetryInfo");
  any.WriteBytes(2, RetryInfo(pushback_ms));
  Writer status;
  status.WriteNumber(1, kCodeResourceExhausted);
  status.WriteBytes(2, OverloadText(num_ahead));
  status.WriteBytes(3, any.bytes());
  return status.bytes();
}

}  // namespace

CallStatus StatusOf(const Refusal& refusal) {
  switch (refusal.why) {
    case Refusal::kOverload:
      return {kCodeResourceExhausted, OverloadText(refusal.num_ahead),
              RefusalTrailers(refusal.num_ahead, refusal.pushback_ms)};
    case Refusal::kTooLate:
      return {kCodeDeadlineExceeded,
              absl::StrCat(std::max<int64_t>(refusal.left_us, 0),
                           " us are left of the deadline: too little for any answer"),
              {}};
    case Refusal::kClosed:
      break;
  }
  return {kCodeUnavailable, "the server is stopping", {}};
}

Metadata RefusalTrailers(int64_t num_ahead, int64_t pushback_ms) {
  return {{"grpc-status-details-bin", OverloadDetails(num_ahead, pushback_ms)},
          {"grpc-retry-pushback-ms", absl::StrCat(pushback_ms)}};
}

}  // namespace stepwell::front
