#ifndef CC_KERNELS_EMBEDDING_EMBEDDING_H_
#define CC_KERNELS_EMBEDDING_EMBEDDING_H_

#include <cstdint>

#include "cc/kernels/embedding/row_format.h"
#include "cc/kernels/simd/isa.h"

namespace stepwell::kernels {

// kNone gives every entry a row of the output of its own.
enum class Pooling { kSum, kMean, kNone };

// One table: `num_rows` rows of `dim` columns, row-major, each RowBytes(format, dim)
// long and without further padding; rows are aligned to RowAlignment(format). Its
// pooled vectors go to columns [output_column, output_column + dim) of the output.
struct EmbeddingTable {
  const void* rows;
  int64_t num_rows;
  int64_t dim;
  int64_t output_column;
  RowFormat format = RowFormat::kFloat32;
  // The row that an index of -1 names, in [0, num_rows); -1 names a row of zeros.
  int64_t default_row = -1;
};

// Jagged lookups into T tables for a batch of B, table-major: bag (t, b) is number
// t * batch + b and holds indices[offsets[bag] .. offsets[bag + 1]). The caller owns
// all memory and keeps it unchanged during the call.
//
// An index of -1 names the default row of its table, an entry like any other. The mean
// divides by the number of entries, also when they carry weights. An empty bag pools to
// zeros.
//
// The output is [batch, output_stride], or, with kNone, [num_indices, output_stride]:
// entry p goes to row p, and every table's output_column is 0.
template <typename Index>
struct EmbeddingBags {
  const EmbeddingTable* tables;
  int64_t num_tables;
  const Index* indices;
  int64_t num_indices;
  const Index* offsets;            // [num_tables * batch + 1]
  const float* per_entry_weights;  // [num_indices], or null for all ones
  int64_t batch;
  int64_t output_stride;  // elements from one row of the output to the next
  Pooling pooling;
  RowFormat output_format = RowFormat::kFloat32;  // of the forward pass; not quantised
};

// What is wrong with the input, if anything; kNone when all was well.
struct EmbeddingFault {
  enum class Kind { kNone, kIndex, kOffset };
  Kind kind = Kind::kNone;
  int64_t table = 0;
  int64_t position = 0;  // into indices (kIndex) or offsets (kOffset)
  int64_t value = 0;     // the index or offset found there

  bool ok() const { return kind == Kind::kNone; }
};

// Pools bags [first_bag, last_bag) into `output`, adding up in float32.
//
// Indices and offsets are checked in the same pass; returns the first fault met, and
// then the output of this range is unspecified. Never reads outside the arrays, however
// wrong the input. Safe to call at once for disjoint ranges; results do not depend on
// how bags are split into ranges. Cost: one read of each named row, O(entries * dim).
template <typename Index>
EmbeddingFault EmbeddingBagForward(const EmbeddingBags<Index>& bags, int64_t first_bag,
                                   int64_t last_bag, void* output, Isa isa = BestIsa());

// Adds the gradient of one table to `table_grad` [num_rows, dim], which the caller has
// zeroed. `output_grad` has the shape of the forward pass's output. Bags are added in
// order, so the result is the same every time. An entry of -1 adds to the default row,
// or to nothing where that is zeros. Safe at once for different tables. Faults as in
// EmbeddingBagForward.
template <typename Index>
EmbeddingFault EmbeddingBagBackward(const EmbeddingBags<Index>& bags, int64_t table,
                                    const float* output_grad, float* table_grad,
                                    Isa isa = BestIsa());

// Writes the gradient of per_entry_weights for the entries of bags
// [first_bag, last_bag): the dot of the bag's output gradient with the entry's row,
// over the bag's length for a mean; 0 for an entry that names a row of zeros. Tables
// are not quantised. Faults and concurrency as in EmbeddingBagForward.
template <typename Index>
EmbeddingFault EmbeddingBagWeightsBackward(const EmbeddingBags<Index>& bags,
                                           int64_t first_bag, int64_t last_bag,
                                           const float* output_grad,
                                           float* weights_grad, Isa isa = BestIsa());

}  // namespace stepwell::kernels

#endif  // CC_KERNELS_EMBEDDING_EMBEDDING_H_
