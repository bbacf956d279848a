#include "cc/index/id_bitmap.h"

namespace stepwell::index {

IdBitmap IdBitmap::FromFlags(absl::Span<const uint8_t> flags) {
  IdBitmap bitmap(static_cast<int64_t>(flags.size()));
  for (size_t id = 0; id < flags.size(); ++id) {
    bitmap.words_[id >> 6] |= uint64_t{flags[id] != 0} << (id & 63);
  }
  return bitmap;
}

void IdBitmap::Resize(int64_t num_bits) {
  num_bits_ = num_bits;
  words_.resize((num_bits + 63) / 64, 0);
}

int64_t IdBitmap::CountSet() const {
  int64_t count = 0;
  for (uint64_t word : words_) count += __builtin_popcountll(word);
  return count;
}

}  // namespace stepwell::index
