// A caller for tests over a socket of this machine.
#ifndef STEPWELL_CC_FRONT_SOCKET_CALLER_FIXTURE_H_
#define STEPWELL_CC_FRONT_SOCKET_CALLER_FIXTURE_H_

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "cc/front/caller_fixture.h"
#include "cc/front/descriptor.h"

namespace stepwell::front {

// It gives up when the front says nothing for 10 s. Concurrency: one thread.
class SocketCaller {
 public:
  explicit SocketCaller(int port) : socket_(socket(AF_INET, SOCK_STREAM, 0)) {
    const timeval patience = {10, 0};
    setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    is_connected_ = connect(socket_.get(), reinterpret_cast<sockaddr*>(&address),
                            sizeof(address)) == 0;
  }

  bool is_connected() const { return is_connected_; }
  int fd() const { return socket_.get(); }

  void Send() {
    const std::string bytes = http2.Gather();
    if (!bytes.empty()) send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }

  // Reads until this holds; false when the connection ends or nothing comes before.
  template <typename Condition>
  bool ReadUntil(Condition holds) {
    std::string buffer(1 << 16, '\0');
    while (true) {
      Send();
      if (holds()) return true;
      const ssize_t size = recv(socket_.get(), buffer.data(), buffer.size(), 0);
      if (size <= 0) return false;
      http2.Receive(absl::string_view(buffer.data(), static_cast<size_t>(size)));
    }
  }

  const CallerReply& Wait(int32_t stream) {
    ReadUntil([&] { return http2.reply(stream).is_closed; });
    return http2.reply(stream);
  }

  bool ReadsEnd() {
    return !ReadUntil([] { return false; });
  }

  CallerFixture http2;

 private:
  Descriptor socket_;
  bool is_connected_ = false;
};

}  // namespace stepwell::front

#endif  // STEPWELL_CC_FRONT_SOCKET_CALLER_FIXTURE_H_
