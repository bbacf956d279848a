#include "cc/front/peer.h"

namespace stepwell::front {
namespace {

// After the last byte a peer has so long to close. A socket that is closed before, with
// something unread in it, would be reset, and the reset may overtake that last byte.
constexpr int64_t kLingerUs = 1'000'000;

constexpr int64_t kNanosPerUs = 1'000;

}  // namespace

void Peer::Read(char* buffer, const Clock& clock) {
  if (!wants_read()) return;
  const IoResult result = transport_->Read(buffer, kReadBytes);
  if (result.state == IoResult::kBlocked) return;
  if (result.state == IoResult::kClosed) {
    is_over_ = true;
  } else if (!is_ending_) {
    connection_.Receive({buffer, result.num_bytes}, clock.NowNanos() / kNanosPerUs);
  }
}

void Peer::Flush(std::string* buffer, int64_t now_us) {
  const size_t num_waiting = num_unsent();
  const bool is_all_sent = SendAll(buffer);
  // The system takes more of it because the peer has read some.
  if (num_waiting > num_unsent()) connection_.NoteReading(now_us);
  // Also of a peer that does not read.
  if (connection_.is_broken()) is_over_ = true;
  if (is_over_ || is_ending_ || !is_all_sent) return;
  if (connection_.is_finished()) End(now_us);
}

// False when the socket is full, or gone.
bool Peer::SendAll(std::string* buffer) {
  if (num_unsent() > 0 && !Send({})) return false;
  while (!is_over_) {
    buffer->clear();
    connection_.Gather(kFlushBytes, buffer);
    if (buffer->empty()) return true;
    if (!Send(*buffer)) return false;
  }
  return false;
}

// What is unsent, else `bytes`; false when some of it now waits.
bool Peer::Send(absl::string_view bytes) {
  const bool is_rest = num_unsent() > 0;
  if (is_rest) bytes = absl::string_view(unsent_).substr(unsent_begin_);
  size_t num_sent = 0;
  while (num_sent < bytes.size()) {
    const IoResult result = transport_->Write(bytes.substr(num_sent));
    if (result.state == IoResult::kClosed) is_over_ = true;
    if (result.state != IoResult::kDone) break;
    num_sent += result.num_bytes;
  }
  if (is_rest) {
    unsent_begin_ += num_sent;
  } else {
    unsent_.assign(bytes.data() + num_sent, bytes.size() - num_sent);
    unsent_begin_ = 0;
  }
  if (num_unsent() > 0) return false;
  unsent_ = std::string();
  unsent_begin_ = 0;
  return true;
}

void Peer::End(int64_t now_us) {
  is_ending_ = true;
  ended_us_ = now_us;
  transport_->EndWrites();
}

bool Peer::is_over(int64_t now_us) const {
  return is_over_ || (is_ending_ && now_us - ended_us_ > kLingerUs);
}

}  // namespace stepwell::front
