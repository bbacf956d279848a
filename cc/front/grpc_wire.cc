#include "cc/front/grpc_wire.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "cc/base/field_error.h"

namespace stepwell::front {
namespace {

constexpr size_t kMostTimeoutDigits = 8;
constexpr absl::string_view kTimeoutField = "grpc-timeout";

// Nanoseconds of a unit, 0 for a letter that is none.
int64_t UnitNanos(char unit) {
  switch (unit) {
    case 'H':
      return 3'600'000'000'000;
    case 'M':
      return 60'000'000'000;
    case 'S':
      return 1'000'000'000;
    case 'm':
      return 1'000'000;
    case 'u':
      return 1'000;
    case 'n':
      return 1;
    default:
      return 0;
  }
}

bool IsDigits(absl::string_view text) {
  return std::all_of(text.begin(), text.end(), absl::ascii_isdigit);
}

bool IsBase64(char letter) {
  return absl::ascii_isalnum(letter) || letter == '+' || letter == '/' || letter == '=';
}

}  // namespace

absl::StatusOr<int64_t> ParseTimeoutUs(absl::string_view value) {
  const int64_t unit_nanos = value.empty() ? 0 : UnitNanos(value.back());
  const absl::string_view digits =
      value.substr(0, value.empty() ? 0 : value.size() - 1);
  int64_t number = 0;
  if (unit_nanos == 0 || digits.size() > kMostTimeoutDigits || !IsDigits(digits) ||
      !absl::SimpleAtoi(digits, &number)) {
    return FieldError(kTimeoutField,
                      "must be one to eight digits and one of H, M, S, m, u, n");
  }
  // Of the longest the nanoseconds would not fit.
  if (unit_nanos >= 1'000) return number * (unit_nanos / 1'000);
  return (number + 999) / 1'000;
}

std::string PercentEncode(absl::string_view message) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  std::string encoded;
  encoded.reserve(message.size());
  for (const char letter : message) {
    if (letter >= ' ' && letter <= '~' && letter != '%') {
      encoded += letter;
      continue;
    }
    const auto byte = static_cast<uint8_t>(letter);
    encoded += {'%', kDigits[byte >> 4], kDigits[byte & 15]};
  }
  return encoded;
}

std::string Base64Encode(absl::string_view bytes) {
  std::string text = absl::Base64Escape(bytes);
  text.erase(text.find_last_not_of('=') + 1);
  return text;
}

absl::StatusOr<std::string> Base64Decode(absl::string_view text) {
  std::string bytes;
  // absl also takes white space and dots.
  if (!std::all_of(text.begin(), text.end(), IsBase64) ||
      !absl::Base64Unescape(text, &bytes)) {
    return absl::InvalidArgumentError("binary metadata is no base64");
  }
  return bytes;
}

std::array<char, kPrefixBytes> MessagePrefix(size_t size) {
  return {0, static_cast<char>(size >> 24), static_cast<char>(size >> 16),
          static_cast<char>(size >> 8), static_cast<char>(size)};
}

}  // namespace stepwell::front
