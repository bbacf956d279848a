// The entry of the fuzzer of what is read from strangers without a parser: the peek
// into a message and gRPC's small texts.
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "cc/front/grpc_wire.h"
#include "cc/front/protobuf_peek.h"

namespace stepwell::front {
namespace {

void Require(bool holds) {
  if (!holds) __builtin_trap();
}

void PeekInto(absl::string_view input) {
  const Peeked found = Peek(
      input,
      {.priority_field = 6, .deadline_ms_field = 5, .key_field = 1, .forced_field = 8});
  for (const int64_t value : {found.priority, found.deadline_ms, found.forced}) {
    Require(value >= INT32_MIN && value <= INT32_MAX);
  }
  if (!found.key.empty()) {
    Require(found.key.data() >= input.data());
    Require(found.key.data() + found.key.size() <= input.data() + input.size());
  }
  KeyHash(found.key);
}

void ReadTexts(absl::string_view input) {
  const auto timeout_us = ParseTimeoutUs(input);
  Require(!timeout_us.ok() || *timeout_us >= 0);
  const auto bytes = Base64Decode(input);
  if (bytes.ok()) Require(*Base64Decode(Base64Encode(*bytes)) == *bytes);
  Require(*Base64Decode(Base64Encode(input)) == std::string(input));
  const std::string text = PercentEncode(input);
  Require(text.size() >= input.size());
  for (const char letter : text) Require(letter >= ' ' && letter <= '~');
}

}  // namespace
}  // namespace stepwell::front

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view input(reinterpret_cast<const char*>(data), size);
  stepwell::front::PeekInto(input);
  stepwell::front::ReadTexts(input);
  return 0;
}
