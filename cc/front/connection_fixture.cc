#include "cc/front/connection_fixture.h"

namespace stepwell::front {
namespace {

constexpr uint64_t kConnectionId = 7;
constexpr int64_t kUsPerMs = 1'000;

}  // namespace

std::vector<MethodOptions> FixtureMethods() {
  MethodOptions unary;
  unary.path = kUnaryPath;
  unary.queued = true;
  unary.priority_field = 1;
  unary.deadline_ms_field = 2;
  unary.key_field = 3;
  unary.forced_field = 4;
  unary.entry_limits = {{.field = 5, .max_entries = 2}};
  MethodOptions side;
  side.path = kSidePath;
  side.entry_limits = {{.field = 1, .max_entries = 1}};
  MethodOptions stream;
  stream.path = kStreamPath;
  stream.streaming = true;
  return {unary, side, stream};
}

ConnectionFixture::ConnectionFixture(const FrontOptions& options)
    : context{options, MethodTable(FixtureMethods()), &handler, sink, {}, 0},
      connection(std::make_unique<Http2Connection>(kConnectionId, &context, now_us)) {}

void ConnectionFixture::WriteReplies() {
  for (Reply& reply : std::exchange(sink->replies, {})) {
    connection->Write(std::move(reply));
  }
}

std::string ConnectionFixture::FromConnection() {
  std::string bytes;
  std::string part;
  do {
    part.clear();
    connection->Gather(1 << 16, &part);
    bytes += part;
  } while (!part.empty());
  return bytes;
}

void ConnectionFixture::Exchange() {
  while (true) {
    const std::string request = caller.Gather();
    if (!request.empty()) connection->Receive(request, now_us);
    WriteReplies();
    const std::string reply = FromConnection();
    if (!reply.empty()) caller.Receive(reply);
    if (request.empty() && reply.empty()) return;
  }
}

void ConnectionFixture::Advance(int64_t millis) {
  now_us += millis * kUsPerMs;
  connection->Tick(now_us);
}

}  // namespace stepwell::front
