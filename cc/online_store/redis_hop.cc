#include "cc/online_store/redis_hop.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "cc/base/status_macros.h"

namespace stepwell::online_store {
namespace {

constexpr size_t kReadBytes = 64 << 10;
// A buffer that one large reply made larger is given back.
constexpr size_t kKeptBytes = 1 << 20;
constexpr absl::string_view kAsking = "*1\r\n$6\r\nASKING\r\n";

std::string CommandOf(absl::Span<const absl::string_view> keys, bool asking) {
  std::string command(asking ? kAsking : "");
  absl::StrAppend(&command, "*", keys.size() + 1, "\r\n$4\r\nMGET\r\n");
  for (const absl::string_view key : keys) {
    absl::StrAppend(&command, "$", key.size(), "\r\n", key, "\r\n");
  }
  return command;
}

absl::Status TimeIsUp() { return absl::DeadlineExceededError("the call's time is up"); }

absl::Status Lost(absl::string_view why) {
  return absl::UnavailableError(absl::StrCat("the connection is lost: ", why));
}

bool WouldBlock() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

// Looks once more though time is over, where `may_be_late`.
absl::Status Wait(int descriptor, int16_t events, RedisHop::TimePoint end,
                  bool may_be_late) {
  pollfd waiting{descriptor, events, 0};
  while (true) {
    const auto left = end - std::chrono::steady_clock::now();
    if (left.count() <= 0 && !may_be_late) return TimeIsUp();
    const auto ns = std::max<int64_t>(
        std::chrono::duration_cast<std::chrono::nanoseconds>(left).count(), 0);
    const timespec limit{static_cast<time_t>(ns / 1'000'000'000),
                         static_cast<decltype(timespec::tv_nsec)>(ns % 1'000'000'000)};
    const int num_ready = ppoll(&waiting, 1, &limit, nullptr);
    if (num_ready > 0) return absl::OkStatus();
    if (num_ready < 0 && errno != EINTR) return Lost(std::strerror(errno));
    if (num_ready == 0) return TimeIsUp();
  }
}

}  // namespace

RedisHop::RedisHop(int descriptor) : descriptor_(descriptor), buffer_(kReadBytes) {}

absl::StatusOr<RedisReply> RedisHop::MGet(absl::Span<const absl::string_view> keys,
                                          bool asking, TimePoint end) {
  STEPWELL_RETURN_IF_ERROR(Send(CommandOf(keys, asking), end));
  int num_looks = 0;
  if (asking) STEPWELL_RETURN_IF_ERROR(Receive(end, num_looks).status());
  STEPWELL_ASSIGN_OR_RETURN(RedisReply reply, Receive(end, num_looks));
  if (!reply.error && reply.blobs.size() != keys.size()) {
    return absl::DataLossError(absl::StrCat("the server replies ", reply.blobs.size(),
                                            " blobs to ", keys.size(), " keys"));
  }
  return reply;
}

absl::Status RedisHop::Send(absl::string_view command, TimePoint end) {
  while (!command.empty()) {
    const ssize_t sent =
        send(descriptor_, command.data(), command.size(), MSG_NOSIGNAL);
    if (sent >= 0) {
      command.remove_prefix(static_cast<size_t>(sent));
    } else if (WouldBlock()) {
      STEPWELL_RETURN_IF_ERROR(Wait(descriptor_, POLLOUT, end, false));
    } else {
      return Lost(std::strerror(errno));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<RedisReply> RedisHop::Receive(TimePoint end, int& num_looks) {
  RedisReply reply;
  while (true) {
    const absl::string_view bytes(buffer_.data(), num_filled_);
    STEPWELL_ASSIGN_OR_RETURN(const size_t used, ReadReply(bytes, reply));
    if (used > 0) {
      num_filled_ -= used;
      std::memmove(buffer_.data(), buffer_.data() + used, num_filled_);
      if (buffer_.size() > kKeptBytes && num_filled_ == 0) {
        buffer_.resize(kReadBytes);
        buffer_.shrink_to_fit();
      }
      return reply;
    }
    STEPWELL_RETURN_IF_ERROR(TakeMore(end, num_looks));
  }
}

absl::Status RedisHop::TakeMore(TimePoint end, int& num_looks) {
  STEPWELL_RETURN_IF_ERROR(Wait(descriptor_, POLLIN, end, num_looks++ == 0));
  if (buffer_.size() - num_filled_ < kReadBytes) buffer_.resize(2 * buffer_.size());
  const ssize_t got = recv(descriptor_, buffer_.data() + num_filled_, kReadBytes, 0);
  if (got == 0) return Lost("the server closed it");
  if (got < 0) return WouldBlock() ? absl::OkStatus() : Lost(std::strerror(errno));
  num_filled_ += static_cast<size_t>(got);
  return absl::OkStatus();
}

}  // namespace stepwell::online_store
