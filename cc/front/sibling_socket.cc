#include "cc/front/sibling_socket.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

namespace stepwell::front {
namespace {

// Room for one descriptor, aligned as the system wants it.
union OneDescriptor {
  cmsghdr header;
  char bytes[CMSG_SPACE(sizeof(int))];
};

// Of exactly one: the system closes what finds no room.
constexpr size_t kControlBytes = CMSG_LEN(sizeof(int));

bool Send(int outbox, const Descriptor& connection, uint32_t generation) {
  iovec content = {&generation, sizeof(generation)};
  OneDescriptor control = {};
  msghdr message = {};
  message.msg_iov = &content;
  message.msg_iovlen = 1;
  message.msg_control = &control;
  message.msg_controllen = sizeof(control);
  cmsghdr* const header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = kControlBytes;
  const int number = connection.get();
  std::memcpy(CMSG_DATA(header), &number, sizeof(number));
  ssize_t size = 0;
  do {
    size = sendmsg(outbox, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (size < 0 && errno == EINTR);
  return size == sizeof(generation);
}

Descriptor DescriptorIn(const msghdr& message) {
  const cmsghdr* const header = CMSG_FIRSTHDR(&message);
  if (header == nullptr || header->cmsg_level != SOL_SOCKET ||
      header->cmsg_type != SCM_RIGHTS || header->cmsg_len != kControlBytes) {
    return Descriptor();
  }
  int number = -1;
  std::memcpy(&number, CMSG_DATA(header), sizeof(number));
  return Descriptor(number);
}

bool IsStream(int socket) {
  int type = 0;
  socklen_t size = sizeof(type);
  if (getsockopt(socket, SOL_SOCKET, SO_TYPE, &type, &size) != 0) return false;
  return type == SOCK_STREAM && (fcntl(socket, F_GETFL) & O_NONBLOCK) != 0;
}

}  // namespace

bool HandOver(const Descriptor& connection, int64_t below,
              const std::vector<Descriptor>& outboxes, SiblingPage* page) {
  const std::optional<SiblingPage::Claimed> claimed = page->Claim(below);
  if (!claimed.has_value()) return false;
  if (Send(outboxes[claimed->slot].get(), connection, claimed->generation)) return true;
  page->Remove(claimed->slot, claimed->generation);
  return false;
}

Arrival TakeArrival(int inbox) {
  Arrival arrival;
  iovec content = {&arrival.generation, sizeof(arrival.generation)};
  OneDescriptor control = {};
  msghdr message = {};
  message.msg_iov = &content;
  message.msg_iovlen = 1;
  message.msg_control = &control;
  message.msg_controllen = kControlBytes;
  ssize_t size = 0;
  do {
    size = recvmsg(inbox, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  } while (size < 0 && errno == EINTR);
  // 0: all who could send have closed their ends.
  if (size <= 0) return arrival;
  Descriptor connection = DescriptorIn(message);
  const bool is_whole = size == sizeof(arrival.generation) &&
                        (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0;
  if (!is_whole || !connection.is_open() || !IsStream(connection.get())) {
    arrival.kind = Arrival::kUnusable;
    return arrival;
  }
  arrival.kind = Arrival::kConnection;
  arrival.connection = std::move(connection);
  return arrival;
}

}  // namespace stepwell::front
