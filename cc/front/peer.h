// A connection and its socket.
#ifndef STEPWELL_CC_FRONT_PEER_H_
#define STEPWELL_CC_FRONT_PEER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "cc/base/clock.h"
#include "cc/front/http2_connection.h"
#include "cc/front/transport.h"

namespace stepwell::front {

// Concurrency: the I/O thread. Memory: beside the connection, up to kFlushBytes that
// the socket has not taken.
class Peer {
 public:
  // Read at a time, so that one peer does not keep the others waiting, and written.
  static constexpr size_t kReadBytes = 64 << 10;
  static constexpr size_t kFlushBytes = 64 << 10;

  Peer(uint64_t id, std::unique_ptr<Transport> transport, FrontContext* context,
       int64_t now_us)
      : transport_(std::move(transport)), connection_(id, context, now_us) {}

  int fd() const { return transport_->fd(); }
  Http2Connection& connection() { return connection_; }

  // Reads once into `buffer`, of kReadBytes, and hands it to the connection; nothing
  // while it does not want to.
  void Read(char* buffer, const Clock& clock);

  // Writes until nothing waits or the socket is full; *buffer is for passing use.
  void Flush(std::string* buffer, int64_t now_us);

  // The socket was full: tell when it is not. Until then nothing is read: who does not
  // read must not make us keep ever more answers for it.
  bool wants_write() const { return num_unsent() > 0; }
  bool wants_read() const { return !wants_write(); }

  // Nothing more is to be read from it or written to it.
  bool is_over(int64_t now_us) const;

  // All that was to be said is with the system.
  bool is_quiet() const {
    return is_over_ || is_ending_ || (num_unsent() == 0 && connection_.is_quiet());
  }

  // Whether it waits for its Flush already; for the loop.
  bool is_noted = false;

  // What the loop has asked epoll for.
  uint32_t events = 0;

 private:
  size_t num_unsent() const { return unsent_.size() - unsent_begin_; }
  bool SendAll(std::string* buffer);
  bool Send(absl::string_view bytes);
  void End(int64_t now_us);

  const std::unique_ptr<Transport> transport_;
  Http2Connection connection_;
  std::string unsent_;
  size_t unsent_begin_ = 0;
  bool is_ending_ = false;  // all is written; the peer's end is waited for
  bool is_over_ = false;
  int64_t ended_us_ = 0;
};

}  // namespace stepwell::front

#endif  // STEPWELL_CC_FRONT_PEER_H_
