#include "cc/front/request_head.h"

#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "cc/front/grpc_wire.h"

namespace stepwell::front {
namespace {

// What HTTP/2 itself counts of every field beside its text.
constexpr int64_t kEntryBytes = 32;

int64_t SizeOf(absl::string_view name, absl::string_view value) {
  return static_cast<int64_t>(name.size() + value.size()) + kEntryBytes;
}

// application/grpc, alone or with a subtype or parameters.
bool IsGrpc(absl::string_view content_type) {
  constexpr absl::string_view kGrpc = "application/grpc";
  if (!absl::StartsWithIgnoreCase(content_type, kGrpc)) return false;
  const absl::string_view rest = content_type.substr(kGrpc.size());
  return rest.empty() || rest[0] == '+' || rest[0] == ';';
}

// Fields of the protocol, which say nothing to a method.
bool IsOfProtocol(absl::string_view name) {
  return name == "te" || name == "grpc-encoding" || name == "grpc-accept-encoding" ||
         name == "content-length";
}

}  // namespace

void RequestHead::Add(absl::string_view name, absl::string_view value) {
  if (!HasRoom(name, value)) return;
  if (name == ":path") {
    path_ = std::string(value);
  } else if (name == ":method") {
    is_post_ = value == "POST";
  } else if (name == "content-type") {
    is_grpc_ = IsGrpc(value);
  } else if (name == "grpc-timeout") {
    const absl::StatusOr<int64_t> timeout = ParseTimeoutUs(value);
    if (timeout.ok()) {
      timeout_us_ = *timeout;
    } else {
      Blame(absl::StrCat("grpc-timeout: ", timeout.status().message()));
    }
  } else if (name[0] != ':' && !IsOfProtocol(name)) {
    AddMetadata(name, value);
  }
}

void RequestHead::AddMetadata(absl::string_view name, absl::string_view value) {
  held_bytes_ += SizeOf(name, value);
  if (!absl::EndsWith(name, "-bin")) {
    metadata_.emplace_back(name, value);
    return;
  }
  // The first part is counted with the field.
  const size_t comma = value.find(',');
  AddBinary(name, value.substr(0, comma));
  if (comma == absl::string_view::npos) return;
  for (absl::string_view part : absl::StrSplit(value.substr(comma + 1), ',')) {
    // Every part keeps the name again.
    if (!HasRoom(name, {})) return;
    held_bytes_ += SizeOf(name, {});
    AddBinary(name, part);
  }
}

void RequestHead::AddBinary(absl::string_view name, absl::string_view value) {
  absl::StatusOr<std::string> bytes = Base64Decode(value);
  if (!bytes.ok()) return Blame(absl::StrCat(name, " is not base64"));
  metadata_.emplace_back(std::string(name), *std::move(bytes));
}

// Counts a field; false over the limit.
bool RequestHead::HasRoom(absl::string_view name, absl::string_view value) {
  num_bytes_ += SizeOf(name, value);
  return num_bytes_ <= max_bytes_;
}

Metadata RequestHead::TakeMetadata() {
  held_bytes_ = 0;
  return std::exchange(metadata_, {});
}

void RequestHead::Blame(std::string message) {
  if (mistake_.empty()) mistake_ = std::move(message);
}

std::optional<RequestHead::Refusal> RequestHead::Check() const {
  if (num_bytes_ > max_bytes_) {
    return Refusal{Refusal::kTooLarge,
                   200,
                   {kCodeResourceExhausted,
                    absl::StrCat("metadata is ", num_bytes_, " bytes, must be at most ",
                                 max_bytes_),
                    {}}};
  }
  if (!is_post_) return Refusal{Refusal::kMalformed, 405, {}};
  if (!is_grpc_) return Refusal{Refusal::kMalformed, 415, {}};
  if (!mistake_.empty()) {
    return Refusal{Refusal::kMalformed, 200, {kCodeInternal, mistake_, {}}};
  }
  return std::nullopt;
}

}  // namespace stepwell::front
