#include "cc/index/id_bitmap.h"

#include <algorithm>

namespace stepwell::index {

IdBitmap IdBitmap::FromFlags(absl::Span<const uint8_t> flags) {
  IdBitmap bitmap(static_cast<int64_t>(flags.size()));
  for (size_t id = 0; id < flags.size(); ++id) {
    bitmap.words_[id >> 6] |= uint64_t{flags[id] != 0} << (id & 63);
  }
  bitmap.KeepCount();
  return bitmap;
}

void IdBitmap::Resize(int64_t num_bits) {
  num_bits_ = num_bits;
  words_.resize((num_bits + 63) / 64, 0);
  ClearPastEnd();
}

int64_t IdBitmap::CountSet() const {
  if (count_ != kNotCounted) return count_;
  int64_t count = 0;
  for (uint64_t word : words_) count += __builtin_popcountll(word);
  return count;
}

void IdBitmap::And(const IdBitmap& other) {
  const size_t shared = std::min(words_.size(), other.words_.size());
  for (size_t i = 0; i < shared; ++i) words_[i] &= other.words_[i];
  std::fill(words_.begin() + static_cast<int64_t>(shared), words_.end(), 0);
  count_ = kNotCounted;
}

void IdBitmap::Or(const IdBitmap& other) {
  const size_t shared = std::min(words_.size(), other.words_.size());
  for (size_t i = 0; i < shared; ++i) words_[i] |= other.words_[i];
  ClearPastEnd();
}

void IdBitmap::AndNot(const IdBitmap& other) {
  const size_t shared = std::min(words_.size(), other.words_.size());
  for (size_t i = 0; i < shared; ++i) words_[i] &= ~other.words_[i];
  count_ = kNotCounted;
}

void IdBitmap::Invert() {
  for (uint64_t& word : words_) word = ~word;
  ClearPastEnd();
}

void IdBitmap::ClearPastEnd() {
  if (num_bits_ % 64 != 0) words_.back() &= (uint64_t{1} << (num_bits_ % 64)) - 1;
  count_ = kNotCounted;
}

}  // namespace stepwell::index
