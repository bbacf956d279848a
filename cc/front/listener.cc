#include "cc/front/listener.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace stepwell::front {
namespace {

using Addresses = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

absl::Status Refused(const std::string& name, absl::string_view reason) {
  return absl::UnavailableError(absl::StrCat("cannot listen on ", name, ": ", reason));
}

Descriptor OpenSpare() { return Descriptor(open("/dev/null", O_RDONLY | O_CLOEXEC)); }

// Not open, with errno set, when the address cannot be had.
Descriptor BindTo(const addrinfo& address, bool shared) {
  Descriptor socket(
      ::socket(address.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket.is_open()) return socket;
  const int on = 1;
  setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  const bool may_share = !shared || setsockopt(socket.get(), SOL_SOCKET, SO_REUSEPORT,
                                               &on, sizeof(on)) == 0;
  if (may_share && bind(socket.get(), address.ai_addr, address.ai_addrlen) == 0) {
    return socket;
  }
  const int error = errno;
  socket.Close();
  errno = error;
  return socket;
}

int PortOf(int socket) {
  sockaddr_storage address = {};
  socklen_t size = sizeof(address);
  getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size);
  if (address.ss_family == AF_INET6) {
    return ntohs(reinterpret_cast<const sockaddr_in6&>(address).sin6_port);
  }
  return ntohs(reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

}  // namespace

Listener::Listener(Descriptor socket, std::string name)
    : socket_(std::move(socket)),
      spare_(OpenSpare()),
      name_(std::move(name)),
      port_(PortOf(socket_.get())) {}

absl::StatusOr<std::unique_ptr<Listener>> Listener::Bind(const std::string& host,
                                                         int port, bool shared) {
  const std::string name = absl::StrCat(host, ":", port);
  addrinfo hints = {};
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* first = nullptr;
  const int error =
      getaddrinfo(host.c_str(), absl::StrCat(port).c_str(), &hints, &first);
  if (error != 0) return Refused(name, gai_strerror(error));
  const Addresses addresses(first, &freeaddrinfo);
  for (const addrinfo* address = first; address != nullptr;
       address = address->ai_next) {
    Descriptor socket = BindTo(*address, shared);
    if (!socket.is_open()) continue;
    return std::unique_ptr<Listener>(new Listener(std::move(socket), name));
  }
  return Refused(name, std::strerror(errno));
}

absl::Status Listener::Listen() {
  if (listen(socket_.get(), SOMAXCONN) == 0) return absl::OkStatus();
  return Refused(name_, std::strerror(errno));
}

Descriptor Listener::Accept() {
  while (true) {
    Descriptor socket(
        accept4(socket_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (socket.is_open()) {
      const int on = 1;
      setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
      return socket;
    }
    // ECONNABORTED: it went before its turn, the next one may wait.
    const bool again = errno == EINTR || errno == ECONNABORTED ||
                       ((errno == EMFILE || errno == ENFILE) && TurnAway());
    if (!again) return socket;
  }
}

bool Listener::TurnAway() {
  spare_.Close();
  Descriptor socket(accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  const bool was_there = socket.is_open();
  socket.Close();
  spare_ = OpenSpare();
  return was_there;
}

}  // namespace stepwell::front
