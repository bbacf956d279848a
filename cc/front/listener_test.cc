#include "cc/front/listener.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <vector>

namespace stepwell::front {
namespace {

Descriptor ConnectTo(int port) {
  Descriptor caller(socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(
      connect(caller.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  return caller;
}

std::unique_ptr<Listener> Listening(const std::string& host = "127.0.0.1") {
  auto bound = Listener::Bind(host, 0, /*shared=*/false);
  EXPECT_TRUE(bound.ok()) << bound.status();
  EXPECT_TRUE((*bound)->Listen().ok());
  return *std::move(bound);
}

// The process has no descriptor left while this lives.
class NoDescriptors {
 public:
  NoDescriptors() {
    getrlimit(RLIMIT_NOFILE, &before_);
    // The lowest number that is free: nothing above it may be opened.
    const Descriptor lowest(open("/dev/null", O_RDONLY));
    const rlimit none = {static_cast<rlim_t>(lowest.get()), before_.rlim_max};
    setrlimit(RLIMIT_NOFILE, &none);
  }
  ~NoDescriptors() { setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_ = {};
};

TEST(Listener, AcceptsWhoWaitsAndThenNobody) {
  const auto listener = Listening();
  EXPECT_GT(listener->port(), 0);
  EXPECT_FALSE(listener->Accept().is_open());
  const Descriptor caller = ConnectTo(listener->port());
  const Descriptor accepted = listener->Accept();
  ASSERT_TRUE(accepted.is_open());
  EXPECT_NE(fcntl(accepted.get(), F_GETFL) & O_NONBLOCK, 0);
  int no_delay = 0;
  socklen_t size = sizeof(no_delay);
  getsockopt(accepted.get(), IPPROTO_TCP, TCP_NODELAY, &no_delay, &size);
  EXPECT_NE(no_delay, 0);
  EXPECT_FALSE(listener->Accept().is_open());
}

TEST(Listener, TurnsAwayWhoWaitsWhenNoDescriptorIsLeft) {
  const auto listener = Listening();
  const Descriptor caller = ConnectTo(listener->port());
  {
    const NoDescriptors none;
    EXPECT_FALSE(listener->Accept().is_open());
  }
  char byte = 0;
  EXPECT_EQ(recv(caller.get(), &byte, 1, 0), 0) << "it was left waiting";
  const Descriptor next = ConnectTo(listener->port());
  EXPECT_TRUE(listener->Accept().is_open());
}

TEST(Listener, NamesTheAddressThatCannotBeHad) {
  const auto listener = Listening();
  const auto second = Listener::Bind("127.0.0.1", listener->port(), /*shared=*/false);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  const auto unknown = Listener::Bind("no such host", 1, /*shared=*/false);
  EXPECT_EQ(unknown.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(unknown.status().message().find("cannot listen on no such host:1: "), 0);
}

TEST(Listener, BindsIpv6WhereTheMachineHasIt) {
  const auto bound = Listener::Bind("::1", 0, /*shared=*/false);
  if (!bound.ok()) GTEST_SKIP() << bound.status();
  EXPECT_GT((*bound)->port(), 0);
}

}  // namespace
}  // namespace stepwell::front
