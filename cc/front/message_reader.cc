#include "cc/front/message_reader.h"

#include <algorithm>
#include <cstring>

namespace stepwell::front {

MessageReader::Result MessageReader::Read(absl::string_view* bytes) {
  if (num_prefix_ < kPrefixBytes) {
    const Result result = ReadPrefix(bytes);
    if (result != kMessage) return result;
  }
  const size_t missing = static_cast<size_t>(claimed_bytes_) - message_.size();
  const size_t size = std::min(missing, bytes->size());
  message_.append(bytes->data(), size);
  bytes->remove_prefix(size);
  return size == missing ? kMessage : kNeedsMore;
}

// kMessage here means that the prefix is whole and good.
MessageReader::Result MessageReader::ReadPrefix(absl::string_view* bytes) {
  const size_t size = std::min(kPrefixBytes - num_prefix_, bytes->size());
  std::memcpy(prefix_.data() + num_prefix_, bytes->data(), size);
  num_prefix_ += size;
  bytes->remove_prefix(size);
  if (num_prefix_ > 0 && prefix_[0] != 0) {
    return prefix_[0] == 1 ? kCompressed : kBadPrefix;
  }
  if (num_prefix_ < kPrefixBytes) return kNeedsMore;
  claimed_bytes_ = 0;
  for (size_t i = 1; i < kPrefixBytes; ++i) {
    claimed_bytes_ = claimed_bytes_ << 8 | static_cast<unsigned char>(prefix_[i]);
  }
  return claimed_bytes_ > max_bytes_ ? kTooLarge : kMessage;
}

std::string MessageReader::Take() {
  num_prefix_ = 0;
  return std::exchange(message_, {});
}

}  // namespace stepwell::front
