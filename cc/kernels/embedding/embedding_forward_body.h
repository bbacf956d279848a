// The forward pass of the embedding kernels against `Vec`, included once per
// instruction set by embedding_forward_cpu.cc: no include guard and no include but of
// other bodies (see simd/vec.h).
#include "cc/kernels/embedding/pooled_blocks_body.h"

// Cache lines asked for ahead of their use. Measured: with fewer the misses of short
// rows do not overlap enough, with more they fall out of the first cache again.
constexpr int64_t kLinesAhead = 216;
constexpr int64_t kMaxEntriesAhead = 128;

// Entries between the prefetch of a row and its use.
template <typename Index>
int64_t EntriesAhead(const EmbeddingBags<Index>& bags) {
  int64_t lines = 0;
  for (int64_t t = 0; t < bags.num_tables; ++t) {
    lines += RowBytes(bags.tables[t].format, bags.tables[t].dim) / 64 + 1;
  }
  const int64_t entries = kLinesAhead * bags.num_tables / lines + 1;
  return entries < kMaxEntriesAhead ? entries : kMaxEntriesAhead;
}

// Where a run of entries is: their indices and factors, and the rows to prefetch beside
// their use, one for each. All that a loop needs, so that it stays in registers.
template <typename Index>
struct EntryCursor {
  const Index* index;
  const Index* const end;
  const float* weight;
  const int64_t weight_step;  // 0: all entries share one factor
  const int64_t lead;         // from an entry to the one whose row is prefetched
  const uint8_t* const coming_rows;
  const uint64_t coming_bytes;
  const uint8_t* const rows;
  const uint64_t num_rows;
  const int64_t row_bytes;
  const bool has_rest;  // whether PrefetchRest has anything to do
};

// Pools the bags of one table, the first block of columns of each bag here, with the
// checks and the prefetches, the others by PoolRest.
template <typename Rows, int kBlock, bool kPartial, typename Index>
struct TablePooler {
  using Sums = BlockSums<Rows, kBlock, kPartial>;
  static constexpr int64_t kColumns = kPartial ? 0 : kBlock * Vec::kLanes;
  // Entries that are gathered at once; longer runs do not pay.
  static constexpr int64_t kMaxRun = 32;

  const EmbeddingBags<Index>& bags;
  const EmbeddingTable table;
  // An entry's factor is weights[position * weights_step]; without weights the same 1.
  const float* const weights;
  const int64_t weights_step;
  const int64_t number;
  const int64_t row_bytes;
  // Offset of a line that rows reach only when they do not start a line, or 0.
  const int64_t straddle;
  // Of the output, in bytes: one element, and from row to row.
  const int64_t element_bytes;
  const int64_t stride;
  uint8_t* const columns;  // this table's first, in the first row
  RowWalker<Index> walker;

  TablePooler(const EmbeddingBags<Index>& all, int64_t table_number,
              const RowWalker<Index>& shared, uint8_t* output)
      : bags(all),
        table(all.tables[table_number]),
        weights(all.per_entry_weights == nullptr ? &kOne : all.per_entry_weights),
        weights_step(all.per_entry_weights == nullptr ? 0 : 1),
        number(table_number),
        row_bytes(RowBytes(Rows::kFormat, table.dim)),
        straddle(StraddleOf(table, row_bytes)),
        element_bytes(all.output_format == RowFormat::kFloat32 ? 4 : 2),
        stride(all.output_stride * element_bytes),
        columns(output + table.output_column * element_bytes),
        walker(shared) {}

  static int64_t StraddleOf(const EmbeddingTable& table, int64_t row_bytes) {
    const bool starts_line = reinterpret_cast<uintptr_t>(table.rows) % 64 == 0;
    const int64_t rest = row_bytes % 64;
    if (rest == 0 && starts_line) return 0;
    if (rest != 0 && rest <= kRowAlignment && IsQuantised(Rows::kFormat)) return 0;
    return row_bytes - 1;
  }

  // Prefetches what of a row BlockSums::Add does not.
  STEPWELL_INLINE void PrefetchRest(const uint8_t* row) const {
    constexpr int64_t kRest = Sums::kLines * 64;
    if (__builtin_expect(row_bytes > kRest, 0)) {
      PrefetchRow(row + kRest, row_bytes - kRest);
    }
    if (straddle != 0) __builtin_prefetch(row + straddle);
  }

  // Starts at entries [begin, end). Near the end of a table the rows to prefetch are in
  // several: they are then prefetched at once, and beside the loop rows already there.
  STEPWELL_INLINE EntryCursor<Index> CursorAt(int64_t begin, int64_t end) {
    const uint8_t* rows = static_cast<const uint8_t*>(table.rows);
    int64_t lead = 0;
    const uint8_t* coming_rows = rows;
    int64_t coming_bytes = row_bytes;
    if (__builtin_expect(walker.table_end - walker.position < end - begin, 0)) {
      walker = walker.Prefetched(bags, end - begin);
    } else {
      lead = walker.position - begin;
      coming_rows = walker.rows;
      coming_bytes = walker.row_bytes;
      walker.position += end - begin;
    }
    return {bags.indices + begin,
            bags.indices + end,
            weights + begin * weights_step,
            weights_step,
            lead,
            coming_rows,
            static_cast<uint64_t>(coming_bytes),
            rows,
            static_cast<uint64_t>(table.num_rows),
            row_bytes,
            row_bytes > Sums::kLines * 64 || straddle != 0};
  }

  // Adds the row of the entry at the cursor to the sums, prefetches the coming one and
  // steps on; returns false, and stays, if the index is bad.
  STEPWELL_INLINE bool AddEntry(EntryCursor<Index>& at, Sums& sums) const {
    const uint8_t* next =
        at.coming_rows + static_cast<uint64_t>(at.index[at.lead]) * at.coming_bytes;
    if (__builtin_expect(at.has_rest, 0)) PrefetchRest(next);
    int64_t index = *at.index;
    const float weight = *at.weight;
    if (__builtin_expect(static_cast<uint64_t>(index) >= at.num_rows, 0)) {
      if (index != -1) return false;
      index = table.default_row;
      if (index < 0) {
        ++at.index;
        at.weight += at.weight_step;
        return true;
      }
    }
    ++at.index;
    at.weight += at.weight_step;
    sums.Add(at.rows + index * at.row_bytes, next, 0, table.dim, weight);
    return true;
  }

  STEPWELL_INLINE void Write(Sums& sums, int64_t begin, int64_t end, BagOutput out) {
    sums.Write(out.scale, out.format, out.columns, 0, table.dim);
    if (!kPartial && __builtin_expect(table.dim > kColumns, 0)) {
      PoolRest<Rows>(bags, table, begin, end, kColumns, out);
    }
  }

  // Pools entries into one row of the output. Returns the position of the first bad
  // index, or `end`.
  __attribute__((noinline)) int64_t PoolBag(int64_t begin, int64_t end, uint8_t* to) {
    EntryCursor<Index> at = CursorAt(begin, end);
    Sums sums;
    while (at.index != at.end) {
      if (!AddEntry(at, sums)) return at.index - bags.indices;
    }
    Write(sums, begin, end, {to, bags.output_format, ScaleOf(bags, end - begin)});
    return end;
  }

  // Gives each of the entries a row of the output, one after the other.
  __attribute__((noinline)) int64_t Gather(int64_t begin, int64_t end, uint8_t* to) {
    for (int64_t run_end = begin; begin < end; begin = run_end) {
      run_end = end - begin < kMaxRun ? end : begin + kMaxRun;
      EntryCursor<Index> at = CursorAt(begin, run_end);
      for (; at.index != at.end; to += stride) {
        Sums sums;
        const int64_t position = at.index - bags.indices;
        if (!AddEntry(at, sums)) return position;
        Write(sums, position, position + 1, {to, bags.output_format, 1.0f});
      }
    }
    return end;
  }

  // Returns how many bags from `row` on hold one entry each, at most kMaxRun.
  STEPWELL_INLINE int64_t RunOfUnits(int64_t row, int64_t last_row) const {
    const Index* offsets = bags.offsets + number * bags.batch + row;
    const int64_t most = last_row - row < kMaxRun ? last_row - row : kMaxRun;
    int64_t run = 0;
    while (run < most && static_cast<uint64_t>(offsets[run + 1]) ==
                             static_cast<uint64_t>(offsets[run]) + 1) {
      ++run;
    }
    return run;
  }

  EmbeddingFault Pool(int64_t first_row, int64_t last_row) {
    const bool is_pooled = bags.pooling != Pooling::kNone;
    for (int64_t row = first_row; row < last_row;) {
      const int64_t bag = number * bags.batch + row;
      const int64_t run = RunOfUnits(row, last_row);
      const int64_t num_bags = run > 1 ? run : 1;
      int64_t begin, end;
      if (!SpanOfBags(bags, bag, bag + num_bags, begin, end)) {
        return OffsetFault(bags, bag, bag + num_bags);
      }
      uint8_t* to = columns + (is_pooled ? row : begin) * stride;
      const int64_t stopped =
          run > 1 || !is_pooled ? Gather(begin, end, to) : PoolBag(begin, end, to);
      if (__builtin_expect(stopped != end, 0)) return IndexFault(bags, number, stopped);
      row += num_bags;
    }
    return {};
  }

  static EmbeddingFault PoolTable(const EmbeddingBags<Index>& bags, int64_t number,
                                  int64_t first_row, int64_t last_row,
                                  RowWalker<Index>& shared, uint8_t* output) {
    TablePooler pooler(bags, number, shared, output);
    const EmbeddingFault fault = pooler.Pool(first_row, last_row);
    shared = pooler.walker;
    return fault;
  }
};

template <typename Index>
using PoolTableFn = EmbeddingFault (*)(const EmbeddingBags<Index>&, int64_t, int64_t,
                                       int64_t, RowWalker<Index>&, uint8_t*);

template <typename Rows, typename Index>
PoolTableFn<Index> PoolerOfWidth(int64_t dim) {
  if (dim >= 8 * Vec::kLanes) return TablePooler<Rows, 8, false, Index>::PoolTable;
  if (dim >= 4 * Vec::kLanes) return TablePooler<Rows, 4, false, Index>::PoolTable;
  if (dim >= 2 * Vec::kLanes) return TablePooler<Rows, 2, false, Index>::PoolTable;
  if (dim >= Vec::kLanes) return TablePooler<Rows, 1, false, Index>::PoolTable;
  return TablePooler<Rows, 1, true, Index>::PoolTable;
}

template <typename Index>
PoolTableFn<Index> PoolerOf(RowFormat format, int64_t dim) {
  switch (format) {
    case RowFormat::kFloat32:
      break;
    case RowFormat::kFloat16:
      return PoolerOfWidth<Float16Rows, Index>(dim);
    case RowFormat::kBfloat16:
      return PoolerOfWidth<Bfloat16Rows, Index>(dim);
    case RowFormat::kInt8:
      return PoolerOfWidth<Int8Rows, Index>(dim);
    case RowFormat::kInt4:
      return PoolerOfWidth<Int4Rows, Index>(dim);
  }
  return PoolerOfWidth<Float32Rows, Index>(dim);
}

template <typename Index>
EmbeddingFault Forward(const EmbeddingBags<Index>& bags, int64_t first_bag,
                       int64_t last_bag, void* output) {
  RowWalker<Index> walker = RowWalker<Index>::AtBag(bags, first_bag, last_bag);
  const int64_t ahead = EntriesAhead(bags);
  walker = walker.Prefetched(bags, ahead);
  const int64_t last_table = (last_bag - 1) / bags.batch;
  for (int64_t t = first_bag / bags.batch; t <= last_table; ++t) {
    const int64_t start = t * bags.batch;
    const int64_t first_row = first_bag > start ? first_bag - start : 0;
    const int64_t end = last_bag - start;
    const EmbeddingTable& table = bags.tables[t];
    const EmbeddingFault fault = PoolerOf<Index>(table.format, table.dim)(
        bags, t, first_row, end < bags.batch ? end : bags.batch, walker,
        static_cast<uint8_t*>(output));
    if (!fault.ok()) return fault;
  }
  return {};
}
