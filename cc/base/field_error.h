// Errors about one argument, with the argument's name readable by machines.
#ifndef STEPWELL_CC_BASE_FIELD_ERROR_H_
#define STEPWELL_CC_BASE_FIELD_ERROR_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace stepwell {

// InvalidArgument about `field`; the name also travels as a payload, so that a
// border can report it without reading the text.
absl::Status FieldError(absl::string_view field, absl::string_view message);

// OK when low <= value <= high, else a FieldError naming field, value and
// range.
absl::Status CheckRange(absl::string_view field, int64_t value, int64_t low,
                        int64_t high);

// The field named by FieldError, "" for every other status.
std::string FieldOf(const absl::Status& status);

}  // namespace stepwell

#endif  // STEPWELL_CC_BASE_FIELD_ERROR_H_
