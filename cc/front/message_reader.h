// Messages of gRPC out of a stream of bytes.
#ifndef STEPWELL_CC_FRONT_MESSAGE_READER_H_
#define STEPWELL_CC_FRONT_MESSAGE_READER_H_

#include <array>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"
#include "cc/front/grpc_wire.h"

namespace stepwell::front {

// Concurrency: one thread. Memory: what has been received of one message, never what
// its prefix claims.
class MessageReader {
 public:
  enum Result {
    kNeedsMore,   // all bytes are used
    kMessage,     // Take it, then go on with the rest of the bytes
    kTooLarge,    // the prefix claims more than the limit
    kCompressed,  // by its flag
    kBadPrefix,
  };

  explicit MessageReader(int64_t max_bytes) : max_bytes_(max_bytes) {}

  // Uses up bytes from the front of *bytes, to the end of one message at most. After
  // one of the last three results the reader is of no use.
  Result Read(absl::string_view* bytes);

  std::string Take();

  // The length that the prefix claims.
  int64_t claimed_bytes() const { return claimed_bytes_; }

  // Some bytes of a message are here, and not all.
  bool is_inside() const { return num_prefix_ > 0; }

  int64_t held_bytes() const { return static_cast<int64_t>(message_.size()); }

 private:
  Result ReadPrefix(absl::string_view* bytes);

  const int64_t max_bytes_;
  size_t num_prefix_ = 0;
  std::array<char, kPrefixBytes> prefix_ = {};
  int64_t claimed_bytes_ = 0;
  std::string message_;
};

}  // namespace stepwell::front

#endif  // STEPWELL_CC_FRONT_MESSAGE_READER_H_
