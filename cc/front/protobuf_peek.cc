#include "cc/front/protobuf_peek.h"

#include <algorithm>
#include <array>

namespace stepwell::front {
namespace {

// The lower three bits of a tag, from 0 on.
enum WireType { kVarint, kFixed64, kBytes, kGroup, kGroupEnd, kFixed32 };

constexpr int kLongestVarint = 10;
constexpr int kDeepestGroup = 100;

// What is left of a message. Every method is false where the bytes end too early or
// mean nothing; nothing may be read after that.
class Reader {
 public:
  explicit Reader(absl::string_view bytes) : left_(bytes) {}

  bool done() const { return left_.empty(); }

  bool ReadVarint(uint64_t& value) {
    value = 0;
    for (size_t i = 0; i < kLongestVarint && i < left_.size(); ++i) {
      const auto byte = static_cast<uint8_t>(left_[i]);
      value |= uint64_t{byte & 0x7fu} << (7 * i);
      if (byte < 0x80) {
        left_.remove_prefix(i + 1);
        return true;
      }
    }
    return false;
  }

  bool ReadBytes(absl::string_view& bytes) {
    uint64_t size = 0;
    if (!ReadVarint(size) || size > left_.size()) return false;
    bytes = left_.substr(0, size);
    left_.remove_prefix(size);
    return true;
  }

  bool Skip(size_t size) {
    if (size > left_.size()) return false;
    left_.remove_prefix(size);
    return true;
  }

 private:
  absl::string_view left_;
};

// An int32 travels as 64 bits; a parser keeps the lower half.
int64_t Int32Of(uint64_t value) { return static_cast<int32_t>(value); }

class Peeker {
 public:
  Peeker(absl::string_view message, const PeekFields& fields)
      : reader_(message),
        fields_(fields),
        limits_(fields.entry_limits.first(
            std::min(fields.entry_limits.size(), kMostEntryLimits))) {}

  Peeked Run() {
    while (!reader_.done() && ReadField()) {
    }
    found_.excess = FirstExcess();
    return found_;
  }

 private:
  bool ReadField() {
    uint64_t tag = 0;
    if (!reader_.ReadVarint(tag) || tag > UINT32_MAX) return false;
    const auto number = static_cast<int>(tag >> 3);
    if (number == 0) return false;
    switch (tag & 7) {
      case kVarint:
        return ReadNumber(number);
      case kBytes:
        return ReadText(number);
      case kFixed64:
        return reader_.Skip(8);
      case kFixed32:
        return reader_.Skip(4);
      case kGroup:
        return ++depth_ <= kDeepestGroup;
      case kGroupEnd:
        return --depth_ >= 0;
      default:
        return false;
    }
  }

  bool ReadNumber(int number) {
    uint64_t value = 0;
    if (!reader_.ReadVarint(value)) return false;
    if (depth_ != 0) return true;
    if (number == fields_.priority_field) found_.priority = Int32Of(value);
    if (number == fields_.deadline_ms_field) found_.deadline_ms = Int32Of(value);
    if (number == fields_.forced_field) found_.forced = Int32Of(value);
    return true;
  }

  bool ReadText(int number) {
    absl::string_view text;
    if (!reader_.ReadBytes(text)) return false;
    if (depth_ != 0) return true;
    if (number == fields_.key_field) found_.key = text;
    for (size_t i = 0; i < limits_.size(); ++i) {
      num_entries_[i] += static_cast<int64_t>(number == limits_[i].field);
    }
    return true;
  }

  Excess FirstExcess() const {
    for (size_t i = 0; i < limits_.size(); ++i) {
      if (num_entries_[i] > limits_[i].max_entries) {
        return {limits_[i].field, num_entries_[i]};
      }
    }
    return {};
  }

  Reader reader_;
  const PeekFields& fields_;
  const absl::Span<const EntryLimit> limits_;
  std::array<int64_t, kMostEntryLimits> num_entries_ = {};
  int depth_ = 0;
  Peeked found_;
};

}  // namespace

Peeked Peek(absl::string_view message, const PeekFields& fields) {
  const bool asks = fields.priority_field != 0 || fields.deadline_ms_field != 0 ||
                    fields.key_field != 0 || fields.forced_field != 0 ||
                    !fields.entry_limits.empty();
  return asks ? Peeker(message, fields).Run() : Peeked{};
}

// FNV-1a, then the last step of MurmurHash3: alone, the first keeps like keys near
// each other.
uint64_t KeyHash(absl::string_view key) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char byte : key.substr(0, kHashedKeyBytes)) {
    hash = (hash ^ static_cast<uint8_t>(byte)) * 0x100000001b3;
  }
  hash = (hash ^ (hash >> 33)) * 0xff51afd7ed558ccd;
  hash = (hash ^ (hash >> 33)) * 0xc4ceb9fe1a85ec53;
  return hash ^ (hash >> 33);
}

}  // namespace stepwell::front
