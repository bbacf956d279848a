// A set of small integers, one bit each.
#ifndef STEPWELL_CC_INDEX_ID_BITMAP_H_
#define STEPWELL_CC_INDEX_ID_BITMAP_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace stepwell::index {

// Concurrency: const methods are safe together; writers need exclusion.
class IdBitmap {
 public:
  // All bits clear, for ids in [0, num_bits).
  explicit IdBitmap(int64_t num_bits = 0) { Resize(num_bits); }

  // Bit i is set when flags[i] != 0.
  static IdBitmap FromFlags(absl::Span<const uint8_t> flags);

  // New bits are clear.
  void Resize(int64_t num_bits);

  int64_t num_bits() const { return num_bits_; }
  int64_t CountSet() const;

  // False outside of [0, num_bits).
  bool Test(int64_t id) const {
    return id >= 0 && id < num_bits_ && ((words_[id >> 6] >> (id & 63)) & 1);
  }
  // id in [0, num_bits).
  void Set(int64_t id) { words_[id >> 6] |= uint64_t{1} << (id & 63); }
  void Clear(int64_t id) { words_[id >> 6] &= ~(uint64_t{1} << (id & 63)); }

  // Calls `visit(id)` for each set bit, ascending. Cost: one step a word or set
  // bit.
  template <typename Visitor>
  void ForEachSet(Visitor visit) const {
    for (size_t word = 0; word < words_.size(); ++word) {
      for (uint64_t left = words_[word]; left != 0; left &= left - 1) {
        visit(static_cast<int64_t>(word * 64) + __builtin_ctzll(left));
      }
    }
  }

 private:
  int64_t num_bits_ = 0;
  std::vector<uint64_t> words_;
};

}  // namespace stepwell::index

#endif  // STEPWELL_CC_INDEX_ID_BITMAP_H_
