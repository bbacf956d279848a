#ifndef CC_KERNELS_EMBEDDING_EMBEDDING_SHARED_H_
#define CC_KERNELS_EMBEDDING_EMBEDDING_SHARED_H_

#include <cstdint>

#include "cc/kernels/embedding/embedding.h"

// Pieces of the CPU kernels that need no wide registers. Internal linkage: this header
// is for the *_cpu.cc files only. What stands in a hot loop is forced inline there, so
// that the loop's state stays in registers.
#define STEPWELL_INLINE inline __attribute__((always_inline))
#define STEPWELL_UNROLL _Pragma("GCC unroll 16")
#define STEPWELL_LIKELY(condition) __builtin_expect(!!(condition), 1)

namespace stepwell::kernels {
namespace {

// Reads the entries of bags [bag, last_bag) and returns whether the offsets of their
// ends are good.
template <typename Index>
STEPWELL_INLINE bool SpanOfBags(const EmbeddingBags<Index>& bags, int64_t bag,
                                int64_t last_bag, int64_t& begin, int64_t& end) {
  begin = bags.offsets[bag];
  end = bags.offsets[last_bag];
  return begin >= 0 && begin <= end && end <= bags.num_indices &&
         (bag != 0 || begin == 0);
}

template <typename Index>
STEPWELL_INLINE bool SpanOfBag(const EmbeddingBags<Index>& bags, int64_t bag,
                               int64_t& begin, int64_t& end) {
  return SpanOfBags(bags, bag, bag + 1, begin, end);
}

// Names the first offset for which SpanOfBag refuses a bag of [bag, last_bag); there is
// one.
template <typename Index>
__attribute__((noinline)) EmbeddingFault OffsetFault(const EmbeddingBags<Index>& bags,
                                                     int64_t bag, int64_t last_bag) {
  int64_t begin, end;
  while (bag + 1 < last_bag && SpanOfBag(bags, bag, begin, end)) ++bag;
  begin = bags.offsets[bag];
  const bool begin_is_wrong =
      begin < 0 || begin > bags.num_indices || (bag == 0 && begin != 0);
  const int64_t position = begin_is_wrong ? bag : bag + 1;
  return {EmbeddingFault::Kind::kOffset, bag / bags.batch, position,
          static_cast<int64_t>(bags.offsets[position])};
}

template <typename Index>
inline EmbeddingFault IndexFault(const EmbeddingBags<Index>& bags, int64_t table,
                                 int64_t position) {
  return {EmbeddingFault::Kind::kIndex, table, position,
          static_cast<int64_t>(bags.indices[position])};
}

// What the sum of a bag of `length` entries is multiplied by.
template <typename Index>
STEPWELL_INLINE float ScaleOf(const EmbeddingBags<Index>& bags, int64_t length) {
  return bags.pooling == Pooling::kMean && length > 1
             ? 1.0f / static_cast<float>(length)
             : 1.0f;
}

// What every entry is multiplied by when there are no weights.
constexpr float kOne = 1.0f;

// The row that an index names.
struct NamedRow {
  int64_t number;  // -1: a row of zeros
  bool is_good;
};

STEPWELL_INLINE NamedRow RowOf(const EmbeddingTable& table, int64_t index) {
  if (STEPWELL_LIKELY(static_cast<uint64_t>(index) <
                      static_cast<uint64_t>(table.num_rows))) {
    return {index, true};
  }
  return {table.default_row, index == -1};
}

// Asks the cache for the lines of a row. Any address is harmless: the prefetch of one
// that is not mapped does nothing.
inline void PrefetchRow(const uint8_t* row, int64_t row_bytes) {
  for (int64_t byte = 0; byte < row_bytes; byte += 64) __builtin_prefetch(row + byte);
}

// Walks the entries of a range of bags some entries ahead of their use and says where
// their rows are, for prefetching. It has its own position, so it runs on across bags
// and tables: with bags of one entry that is where all the distance comes from.
template <typename Index>
struct RowWalker {
  const uint8_t* rows;
  int64_t row_bytes;
  int64_t position;
  int64_t table_end;
  int64_t table;
  int64_t last;

  // Prefetches the rows of the next `count` entries, whatever tables they are in. By
  // value, so that the caller's walker can stay in registers.
  __attribute__((noinline)) RowWalker Prefetched(const EmbeddingBags<Index>& bags,
                                                 int64_t count) const {
    RowWalker walker = *this;
    for (int64_t entry = 0; entry < count; ++entry) {
      while (walker.position >= walker.table_end) {
        if (walker.position >= last || walker.table + 1 >= bags.num_tables) {
          return walker;
        }
        walker = AtTable(bags, walker.table + 1, walker.position, last);
      }
      PrefetchRow(walker.rows + static_cast<uint64_t>(bags.indices[walker.position++]) *
                                    static_cast<uint64_t>(walker.row_bytes),
                  walker.row_bytes);
    }
    return walker;
  }

  static RowWalker AtTable(const EmbeddingBags<Index>& bags, int64_t table,
                           int64_t position, int64_t last) {
    const EmbeddingTable& in = bags.tables[table];
    const int64_t end = Clamped(bags, bags.offsets[(table + 1) * bags.batch]);
    return {static_cast<const uint8_t*>(in.rows),
            RowBytes(in.format, in.dim),
            position,
            end < last ? end : last,
            table,
            last};
  }

  static RowWalker AtBag(const EmbeddingBags<Index>& bags, int64_t first_bag,
                         int64_t last_bag) {
    return AtTable(bags, first_bag / bags.batch, Clamped(bags, bags.offsets[first_bag]),
                   Clamped(bags, bags.offsets[last_bag]));
  }

  static int64_t Clamped(const EmbeddingBags<Index>& bags, int64_t position) {
    if (position < 0) return 0;
    return position < bags.num_indices ? position : bags.num_indices;
  }
};

}  // namespace
}  // namespace stepwell::kernels

#endif  // CC_KERNELS_EMBEDDING_EMBEDDING_SHARED_H_
