#ifndef CC_KERNELS_EMBEDDING_EMBEDDING_SHARED_H_
#define CC_KERNELS_EMBEDDING_EMBEDDING_SHARED_H_

#include <cstdint>

#include "cc/kernels/embedding/embedding.h"

// Pieces of the CPU kernels that need no wide registers. Internal linkage: this header
// is for embedding_cpu.cc only.
namespace stepwell::kernels {
namespace {

template <typename Index>
struct BagSpan {
  int64_t begin;
  int64_t end;
  EmbeddingFault fault;
};

// Returns the entries of a bag, or the fault in its two offsets.
template <typename Index>
inline BagSpan<Index> SpanOfBag(const EmbeddingBags<Index>& bags, int64_t bag) {
  const int64_t begin = bags.offsets[bag];
  const int64_t end = bags.offsets[bag + 1];
  const bool first_is_zero = bag != 0 || begin == 0;
  if (begin >= 0 && begin <= end && end <= bags.num_indices && first_is_zero) {
    return {begin, end, {}};
  }
  const bool begin_is_wrong = begin < 0 || begin > bags.num_indices || !first_is_zero;
  const int64_t position = begin_is_wrong ? bag : bag + 1;
  return {0,
          0,
          {EmbeddingFault::Kind::kOffset, bag / bags.batch, position,
           static_cast<int64_t>(bags.offsets[position])}};
}

// Asks the cache for the rows of a range of entries, some entries ahead of their use.
// It walks the indices on its own, so it runs on across bags and tables: with bags of
// one entry that is where all the distance comes from.
template <typename Index>
class RowPrefetcher {
 public:
  RowPrefetcher(const EmbeddingBags<Index>& bags, int64_t first_bag, int64_t last_bag)
      : bags_(bags), table_(first_bag / bags.batch) {
    position_ = Clamped(bags.offsets[first_bag]);
    last_ = Clamped(bags.offsets[last_bag]);
    table_end_ = EndOfTable();
    for (int ahead = 0; ahead < kAhead; ++ahead) Advance();
  }

  // Prefetches the next entry's row. Any index is harmless here: a prefetch of an
  // address that is not mapped does nothing.
  inline void Advance() {
    if (position_ >= last_) return;
    while (position_ >= table_end_) {
      if (table_ + 1 >= bags_.num_tables) return;
      ++table_;
      table_end_ = EndOfTable();
    }
    const EmbeddingTable& table = bags_.tables[table_];
    const uintptr_t row_bytes = static_cast<uintptr_t>(table.dim) * sizeof(float);
    const uintptr_t row =
        reinterpret_cast<uintptr_t>(table.rows) +
        static_cast<uintptr_t>(bags_.indices[position_++]) * row_bytes;
    const uintptr_t wanted = row_bytes <= kWholeRowBytes ? row_bytes : 1;
    for (uintptr_t byte = 0; byte < wanted; byte += 64) {
      __builtin_prefetch(reinterpret_cast<const void*>(row + byte));
    }
  }

 private:
  // Measured: with fewer the misses of short rows do not overlap, with more the lines
  // fall out of the first cache again.
  static constexpr int kAhead = 40;
  // Of a longer row the first line is enough: the processor's own stream prefetch
  // fetches the rest, and asking for every line slowed 512-byte rows by a third.
  static constexpr uintptr_t kWholeRowBytes = 256;

  int64_t Clamped(int64_t position) const {
    if (position < 0) return 0;
    return position < bags_.num_indices ? position : bags_.num_indices;
  }
  int64_t EndOfTable() const {
    return Clamped(bags_.offsets[(table_ + 1) * bags_.batch]);
  }

  const EmbeddingBags<Index>& bags_;
  int64_t table_;
  int64_t position_;
  int64_t last_;
  int64_t table_end_;
};

}  // namespace
}  // namespace stepwell::kernels

#endif  // CC_KERNELS_EMBEDDING_EMBEDDING_SHARED_H_
