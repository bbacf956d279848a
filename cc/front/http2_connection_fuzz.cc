// The entry of the fuzzer: whatever a stranger sends on a connection. No system call.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cc/front/connection_fixture.h"

namespace stepwell::front {
namespace {

void Require(bool holds) {
  if (!holds) __builtin_trap();
}

FrontOptions SmallOptions() {
  FrontOptions options;
  options.max_message_bytes = 4'096;
  options.max_partial_bytes_per_connection = 16'384;
  options.max_partial_bytes = 16'384;
  options.max_metadata_bytes = 1'024;
  options.max_streams_per_connection = 16;
  options.max_connection_age_ms = 1'000;
  return options;
}

// Answers what has come in one of the ways there are.
void AnswerAll(ConnectionFixture& fixture, uint8_t choice) {
  for (const auto& call : std::exchange(fixture.handler.calls, {})) {
    Require(call->message().size() <= 4'096);
    if (choice % 3 == 0) call->Answer(std::string(call->message()));
    if (choice % 3 == 1) call->Fail({choice, "no", {{"x-bin", "\xff"}}});
  }
  for (const SideEvent& event : std::exchange(fixture.handler.events, {})) {
    Require(event.message.size() <= 4'096);
    if (event.kind == SideEvent::kMessage) event.call->Send(event.message);
    if (event.kind == SideEvent::kHalfClosed) event.call->Fail({0, "", {}});
  }
}

// The input: blocks of one byte that says what happens after them, one for their size,
// and their bytes, which follow a good preface.
void Run(const uint8_t* data, size_t size) {
  ConnectionFixture fixture(SmallOptions());
  fixture.FromCaller();
  while (size >= 2 && !fixture.connection->is_broken()) {
    const uint8_t choice = data[0];
    const size_t length = std::min<size_t>(data[1], size - 2);
    fixture.connection->Receive({reinterpret_cast<const char*>(data + 2), length},
                                fixture.now_us);
    data += 2 + length;
    size -= 2 + length;
    AnswerAll(fixture, choice);
    if (choice & 64) fixture.Advance(choice);
    if (choice & 32) fixture.connection->Drain(fixture.now_us);
    fixture.WriteReplies();
    if (choice & 16) fixture.FromConnection();
    Require(fixture.context.partial_bytes <= 16'384);
  }
  fixture.connection.reset();
  Require(fixture.context.partial_bytes == 0);
  Require(fixture.counters().num_open == 0);
}

}  // namespace
}  // namespace stepwell::front

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  stepwell::front::Run(data, size);
  return 0;
}
