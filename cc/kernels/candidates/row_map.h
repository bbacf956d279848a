#ifndef CC_KERNELS_CANDIDATES_ROW_MAP_H_
#define CC_KERNELS_CANDIDATES_ROW_MAP_H_

#include <bit>
#include <cstdint>
#include <vector>

namespace stepwell::kernels {

// Keys >= 0 to small numbers, for the few of one request. Not thread-safe.
class RowMap {
 public:
  // Room for `capacity` keys.
  explicit RowMap(int64_t capacity)
      : shift_(64 - std::countr_zero(Slots(capacity))),
        slots_(Slots(capacity), Slot{-1, -1}) {}

  // Returns the number of `key`, or that of -1 where it is not there.
  int32_t Find(int64_t key) const {
    for (uint64_t at = Start(key);; at = Next(at)) {
      if (slots_[at].key == key) return slots_[at].number;
      if (slots_[at].key < 0) return -1;
    }
  }

  // Returns the number of `key`; gives it `number` where it has none.
  int32_t FindOrAdd(int64_t key, int32_t number) {
    uint64_t at = Start(key);
    for (; slots_[at].key >= 0; at = Next(at)) {
      if (slots_[at].key == key) return slots_[at].number;
    }
    slots_[at] = {key, number};
    return number;
  }

 private:
  struct Slot {
    int64_t key;
    int32_t number;
  };

  // At most half full, so that a search is short and always ends.
  static uint64_t Slots(int64_t capacity) {
    return std::bit_ceil(static_cast<uint64_t>(2 * capacity + 2));
  }
  uint64_t Start(int64_t key) const {
    return (static_cast<uint64_t>(key) * 0x9E37'79B9'7F4A'7C15u) >> shift_;
  }
  uint64_t Next(uint64_t at) const { return (at + 1) & (slots_.size() - 1); }

  int shift_;
  std::vector<Slot> slots_;
};

}  // namespace stepwell::kernels

#endif  // CC_KERNELS_CANDIDATES_ROW_MAP_H_
