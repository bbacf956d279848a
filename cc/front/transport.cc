#include "cc/front/transport.h"

#include <sys/socket.h>

#include <cerrno>
#include <utility>

namespace stepwell::front {
namespace {

IoResult ResultOf(ssize_t size) {
  if (size > 0) return {IoResult::kDone, static_cast<size_t>(size)};
  const bool is_blocked =
      size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
  return {is_blocked ? IoResult::kBlocked : IoResult::kClosed, 0};
}

class SocketTransport : public Transport {
 public:
  explicit SocketTransport(Descriptor socket) : socket_(std::move(socket)) {}

  int fd() const override { return socket_.get(); }

  IoResult Read(char* target, size_t size) override {
    return ResultOf(recv(fd(), target, size, 0));
  }

  IoResult Write(absl::string_view bytes) override {
    return ResultOf(send(fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL));
  }

  void EndWrites() override { shutdown(fd(), SHUT_WR); }

 private:
  const Descriptor socket_;
};

}  // namespace

std::unique_ptr<Transport> NewSocketTransport(Descriptor socket) {
  return std::make_unique<SocketTransport>(std::move(socket));
}

}  // namespace stepwell::front
