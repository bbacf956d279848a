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

// An entry takes two bytes at least, and an excess is over its limit.
void RequireTrue(const Excess& excess, absl::string_view input) {
  Require(excess.num_entries * 2 <= static_cast<int64_t>(input.size()));
  Require(excess.field == 0 ? excess.num_entries == 0
                            : excess.num_entries > (excess.field == 3 ? 2 : 0));
}

void PeekInto(absl::string_view input) {
  constexpr EntryLimit kLimits[] = {{3, 2}, {2, 0}};
  const Peeked found = Peek(input, {.priority_field = 6,
                                    .deadline_ms_field = 5,
                                    .key_field = 1,
                                    .forced_field = 8,
                                    .entry_limits = kLimits});
  for (const int64_t value : {found.priority, found.deadline_ms, found.forced}) {
    Require(value >= INT32_MIN && value <= INT32_MAX);
  }
  if (!found.key.empty()) {
    Require(found.key.data() >= input.data());
    Require(found.key.data() + found.key.size() <= input.data() + input.size());
  }
  KeyHash(found.key);
  RequireTrue(found.excess, input);
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
