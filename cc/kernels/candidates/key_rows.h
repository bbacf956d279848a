#ifndef CC_KERNELS_CANDIDATES_KEY_ROWS_H_
#define CC_KERNELS_CANDIDATES_KEY_ROWS_H_

#include <cstdint>
#include <vector>

#include "cc/kernels/candidates/unaligned.h"

namespace stepwell::kernels {

// Where each of num_keys distinct 64-bit keys stands, for many lookups. Borrows its
// memory: keys ascending, and for each its row. Concurrency: immutable.
class KeyRows {
 public:
  KeyRows(const uint64_t* sorted_keys, const int64_t* rows, int64_t num_keys);

  // Writes rows [num_wanted]: that of each wanted key, -1 where it is not there.
  // Cost: one miss of the cache a key where keys are spread evenly, as hashes are; a
  // binary search among those that share the first bits otherwise.
  void Find(Unaligned<uint64_t> wanted, int64_t num_wanted, int64_t* rows) const;

 private:
  const uint64_t* keys_;
  const int64_t* rows_;
  int shift_;                      // of a key, to its bucket
  std::vector<uint32_t> buckets_;  // where each begins; one more at the end
};

}  // namespace stepwell::kernels

#endif  // CC_KERNELS_CANDIDATES_KEY_ROWS_H_
