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

  // Bit i is set when flags[i] != 0; counted.
  static IdBitmap FromFlags(absl::Span<const uint8_t> flags);

  // New bits are clear; bits from num_bits on are gone.
  void Resize(int64_t num_bits);

  int64_t num_bits() const { return num_bits_; }
  // O(1) after KeepCount until the next change, else a step a word.
  int64_t CountSet() const;
  // Counts now, for callers that ask often.
  void KeepCount() { count_ = CountSet(); }

  // 64 ids a word, the lowest id in the lowest bit; bits past num_bits() are clear.
  absl::Span<const uint64_t> words() const { return words_; }

  // False outside of [0, num_bits).
  bool Test(int64_t id) const {
    return id >= 0 && id < num_bits_ && ((words_[id >> 6] >> (id & 63)) & 1);
  }
  // Test without a branch, for ids in no order, of a set with num_bits() > 0.
  bool TestUnpredicted(int64_t id) const {
    const bool inside = static_cast<uint64_t>(id) < static_cast<uint64_t>(num_bits_);
    const uint64_t at = static_cast<uint64_t>(id) * inside;
    return inside & (words_[at >> 6] >> (at & 63));
  }
  // id in [0, num_bits).
  void Set(int64_t id) {
    words_[id >> 6] |= uint64_t{1} << (id & 63);
    count_ = kNotCounted;
  }
  void Clear(int64_t id) {
    words_[id >> 6] &= ~(uint64_t{1} << (id & 63));
    count_ = kNotCounted;
  }

  // Set algebra with another set, whose missing bits count as clear and whose bits
  // past num_bits() are ignored. Cost: a step a word.
  void And(const IdBitmap& other);
  void Or(const IdBitmap& other);
  void AndNot(const IdBitmap& other);
  // The ids of [0, num_bits) that are not in the set.
  void Invert();

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
  static constexpr int64_t kNotCounted = -1;

  void ClearPastEnd();

  int64_t num_bits_ = 0;
  int64_t count_ = kNotCounted;
  std::vector<uint64_t> words_;
};

}  // namespace stepwell::index

#endif  // STEPWELL_CC_INDEX_ID_BITMAP_H_
