#include "cc/base/field_error.h"

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"

namespace stepwell {
namespace {

constexpr char kFieldPayload[] = "stepwell/field";

}  // namespace

absl::Status FieldError(absl::string_view field, absl::string_view message) {
  absl::Status status = absl::InvalidArgumentError(absl::StrCat(field, " ", message));
  status.SetPayload(kFieldPayload, absl::Cord(field));
  return status;
}

absl::Status CheckRange(absl::string_view field, int64_t value, int64_t low,
                        int64_t high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return FieldError(field,
                    absl::StrCat("is ", value, ", must be in [", low, ", ", high, "]"));
}

std::string FieldOf(const absl::Status& status) {
  absl::optional<absl::Cord> field = status.GetPayload(kFieldPayload);
  return field.has_value() ? std::string(*field) : "";
}

}  // namespace stepwell
