#ifndef CC_KERNELS_EMBEDDING_ENTRY_BACKWARD_H_
#define CC_KERNELS_EMBEDDING_ENTRY_BACKWARD_H_

#include <cstdint>

#include "cc/kernels/simd/isa.h"

namespace stepwell::kernels {

// The bags of one table and the gradient of their pooled vectors. The caller owns all
// memory, has checked that offsets never fall, and keeps everything unchanged during
// the call.
template <typename Index>
struct EntryBags {
  // [batch + 1]: bag b holds the entries [offsets[b], offsets[b + 1]) of all tables'.
  // Null when each entry is a bag of its own (no pooling): then batch counts entries.
  const Index* offsets;
  int64_t batch;
  // The factor of the table's first entry, one an entry, or null for all ones.
  const float* entry_weights;
  // The gradient of the table's columns for bag 0; the next bag's is grad_stride on.
  const float* output_grad;
  int64_t grad_stride;
  int64_t dim;
  bool is_mean;  // a bag's gradient is divided by its number of entries
};

// Writes the gradient of each entry of bags [first_bag, last_bag) to `entry_grads`
// [entries of the table, dim], the table's first entry first: the bag's gradient times
// the entry's factor. One multiplication a number, so every instruction set gives the
// same bits. Safe at once for disjoint ranges. Cost: O(entries * dim) writes.
template <typename Index>
void EntryBackward(const EntryBags<Index>& bags, int64_t first_bag, int64_t last_bag,
                   float* entry_grads, Isa isa = BestIsa());

}  // namespace stepwell::kernels

#endif  // CC_KERNELS_EMBEDDING_ENTRY_BACKWARD_H_
