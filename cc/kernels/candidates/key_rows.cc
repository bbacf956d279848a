#include "cc/kernels/candidates/key_rows.h"

#include <algorithm>
#include <bit>

namespace stepwell::kernels {

KeyRows::KeyRows(const uint64_t* sorted_keys, const int64_t* rows, int64_t num_keys)
    : keys_(sorted_keys), rows_(rows) {
  // About one key a bucket, and at least two buckets: a shift by 64 is undefined.
  const int bits = std::bit_width(static_cast<uint64_t>(num_keys) | 1);
  shift_ = 64 - bits;
  buckets_.resize((size_t{1} << bits) + 1);
  size_t bucket = 0;
  for (int64_t i = 0; i < num_keys; ++i) {
    for (; bucket <= keys_[i] >> shift_; ++bucket) {
      buckets_[bucket] = static_cast<uint32_t>(i);
    }
  }
  for (; bucket < buckets_.size(); ++bucket) {
    buckets_[bucket] = static_cast<uint32_t>(num_keys);
  }
}

void KeyRows::Find(Unaligned<uint64_t> wanted, int64_t num_wanted,
                   int64_t* rows) const {
  constexpr int64_t kAhead = 8;
  for (int64_t i = 0; i < num_wanted; ++i) {
    if (i + kAhead < num_wanted) {
      __builtin_prefetch(keys_ + buckets_[wanted[i + kAhead] >> shift_]);
    }
    const uint64_t key = wanted[i];
    const uint64_t* begin = keys_ + buckets_[key >> shift_];
    const uint64_t* end = keys_ + buckets_[(key >> shift_) + 1];
    const uint64_t* found = std::lower_bound(begin, end, key);
    rows[i] = found != end && *found == key ? rows_[found - keys_] : -1;
  }
}

}  // namespace stepwell::kernels
