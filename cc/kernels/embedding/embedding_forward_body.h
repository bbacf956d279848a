// The forward pass of the embedding kernels against `Vec`, included once per
// instruction set by embedding_forward_cpu.cc: no include guard and no include but of
// other bodies (see simd/vec.h).
#include "cc/kernels/embedding/row_readers_body.h"

// Entries between the prefetch of a row and its use. Fewer leave misses of short rows
// without overlap; with more, lines fall out of the first cache again.
constexpr int64_t kAhead = 24;

// Writes `lanes` columns of 16 bits from registers. Out of line, once for all tables.
__attribute__((noinline)) inline void WriteHalves(RowFormat format, const Vec* values,
                                                  int64_t lanes, uint8_t* to) {
  for (; lanes > 0; lanes -= Vec::kLanes, to += 2 * Vec::kLanes, ++values) {
    uint8_t part[2 * Vec::kLanes];
    uint8_t* at = lanes < Vec::kLanes ? part : to;
    if (format == RowFormat::kFloat16) {
      values->StoreFloat16(at);
    } else {
      values->StoreBfloat16(at);
    }
    if (lanes < Vec::kLanes) __builtin_memcpy(to, part, 2 * lanes);
  }
}

// The sums of one block of kBlock registers of columns over the entries of a bag. With
// kPartial the block is one register of which `lanes` columns are real.
template <typename Rows, int kBlock, bool kPartial, bool kWeighted>
struct BlockSums {
  static constexpr bool kIsQuantised = IsQuantised(Rows::kFormat);
  static constexpr int64_t kHeader = kIsQuantised ? kRowHeaderBytes : 0;

  Vec sums[kBlock];
  float bias = 0.0f;  // the same for all columns, so it is added once a bag

  STEPWELL_INLINE BlockSums() {
    STEPWELL_UNROLL
    for (int v = 0; v < kBlock; ++v) sums[v] = Vec::Zero();
  }

  STEPWELL_INLINE void Add(const uint8_t* row, int64_t column, int64_t lanes,
                           float weight) {
    Vec values[kBlock];
    if constexpr (kPartial) {
      values[0] = Rows::LoadFirst(row + kHeader, column, lanes);
    } else {
      Rows::template Load<kBlock>(row + kHeader, column, values);
    }
    if constexpr (kIsQuantised) {
      const float* header = reinterpret_cast<const float*>(row);
      AddScaled(values, kWeighted ? weight * header[0] : header[0]);
      bias += kWeighted ? weight * header[1] : header[1];
    } else if constexpr (kWeighted) {
      AddScaled(values, weight);
    } else {
      STEPWELL_UNROLL
      for (int v = 0; v < kBlock; ++v) sums[v] = Vec::Add(sums[v], values[v]);
    }
  }

  STEPWELL_INLINE void AddScaled(const Vec* values, float scale) {
    const Vec scales = Vec::Fill(scale);
    STEPWELL_UNROLL
    for (int v = 0; v < kBlock; ++v) sums[v] = Vec::MulAdd(values[v], scales, sums[v]);
  }

  STEPWELL_INLINE void Write(float scale, RowFormat format, uint8_t* output,
                             int64_t column, int64_t lanes) {
    if constexpr (!kPartial) Rows::template Order<kBlock>(sums);
    const Vec scales = Vec::Fill(scale);
    const Vec biases = Vec::Fill(bias);
    STEPWELL_UNROLL
    for (int v = 0; v < kBlock; ++v) {
      if constexpr (kIsQuantised) sums[v] = Vec::Add(sums[v], biases);
      sums[v] = Vec::Mul(sums[v], scales);
    }
    if (format != RowFormat::kFloat32) {
      Vec copies[kBlock];  // so that only they need an address
      for (int v = 0; v < kBlock; ++v) copies[v] = sums[v];
      WriteHalves(format, copies, kPartial ? lanes : kBlock * Vec::kLanes,
                  output + 2 * column);
      return;
    }
    float* to = reinterpret_cast<float*>(output) + column;
    if constexpr (kPartial) {
      sums[0].StoreFirst(to, lanes);
    } else {
      STEPWELL_UNROLL
      for (int v = 0; v < kBlock; ++v) sums[v].Store(to + v * Vec::kLanes);
    }
  }
};

// Where one bag goes, and by what its sum is multiplied.
struct BagOutput {
  uint8_t* columns;  // the table's first column in the bag's row of the output
  RowFormat format;
  float scale;
};

// Pools entries whose indices are known to be good into the columns from `column` on,
// without prefetch: what is left of a row after its first block.
template <typename Rows, bool kWeighted, int kBlock, bool kPartial, typename Index>
void PoolBlockAgain(const EmbeddingBags<Index>& bags, const EmbeddingTable& table,
                    int64_t begin, int64_t end, int64_t column, BagOutput out) {
  const uint8_t* rows = static_cast<const uint8_t*>(table.rows);
  const int64_t row_bytes = RowBytes(Rows::kFormat, table.dim);
  const int64_t lanes = table.dim - column;
  BlockSums<Rows, kBlock, kPartial, kWeighted> sums;
  for (int64_t position = begin; position < end; ++position) {
    const int64_t number = RowOf(table, bags.indices[position]).number;
    if (number < 0) continue;
    sums.Add(rows + number * row_bytes, column, lanes,
             kWeighted ? bags.per_entry_weights[position] : 1.0f);
  }
  sums.Write(out.scale, out.format, out.columns, column, lanes);
}

template <typename Rows, bool kWeighted, typename Index>
__attribute__((noinline)) void PoolRest(const EmbeddingBags<Index>& bags,
                                        const EmbeddingTable& table, int64_t begin,
                                        int64_t end, int64_t column, BagOutput out) {
  while (column < table.dim) {
    const int64_t left = table.dim - column;
#define STEPWELL_POOL(kBlock)                                                       \
  if (left >= kBlock * Vec::kLanes) {                                               \
    PoolBlockAgain<Rows, kWeighted, kBlock, false>(bags, table, begin, end, column, \
                                                   out);                            \
    column += kBlock * Vec::kLanes;                                                 \
    continue;                                                                       \
  }
    STEPWELL_POOL(8)
    STEPWELL_POOL(4)
    STEPWELL_POOL(2)
    STEPWELL_POOL(1)
#undef STEPWELL_POOL
    PoolBlockAgain<Rows, kWeighted, 1, true>(bags, table, begin, end, column, out);
    return;
  }
}

// Pools the bags of one table, the first block of columns of each bag here, with the
// checks and the prefetches, the others by PoolRest.
template <typename Rows, bool kWeighted, int kBlock, bool kPartial, typename Index>
struct TablePooler {
  using Sums = BlockSums<Rows, kBlock, kPartial, kWeighted>;
  static constexpr int64_t kColumns = kPartial ? 0 : kBlock * Vec::kLanes;
  // What of a row the first block reads, for prefetches without a loop.
  static constexpr int64_t kBlockBytes = RowBytes(Rows::kFormat, kColumns);

  const EmbeddingBags<Index>& bags;
  const EmbeddingTable table;
  const int64_t row_bytes;
  // Offset of a line that rows reach only when they do not start a line, or 0.
  const int64_t straddle;
  RowWalker<Index> walker;

  TablePooler(const EmbeddingBags<Index>& all, int64_t number,
              const RowWalker<Index>& shared)
      : bags(all),
        table(all.tables[number]),
        row_bytes(RowBytes(Rows::kFormat, table.dim)),
        straddle(StraddleOf(table, row_bytes)),
        walker(shared) {}

  static int64_t StraddleOf(const EmbeddingTable& table, int64_t row_bytes) {
    const bool starts_line = reinterpret_cast<uintptr_t>(table.rows) % 64 == 0;
    const int64_t rest = row_bytes % 64;
    if (rest == 0 && starts_line) return 0;
    if (rest != 0 && rest <= kRowAlignment && IsQuantised(Rows::kFormat)) return 0;
    return row_bytes - 1;
  }

  STEPWELL_INLINE void PrefetchNext() {
    const uint8_t* row = walker.Next(bags);
    STEPWELL_UNROLL
    for (int64_t byte = 0; byte < kBlockBytes; byte += 64) {
      __builtin_prefetch(row + byte);
    }
    for (int64_t byte = (kBlockBytes + 63) / 64 * 64; byte < row_bytes; byte += 64) {
      __builtin_prefetch(row + byte);
    }
    if (straddle != 0) __builtin_prefetch(row + straddle);
  }

  // Returns the position of the first bad index, or `end`.
  STEPWELL_INLINE int64_t PoolBag(int64_t begin, int64_t end, BagOutput out) {
    const uint8_t* rows = static_cast<const uint8_t*>(table.rows);
    Sums sums;
    for (int64_t position = begin; position < end; ++position) {
      PrefetchNext();
      const NamedRow named = RowOf(table, bags.indices[position]);
      if (__builtin_expect(!named.is_good, 0)) return position;
      if (__builtin_expect(named.number < 0, 0)) continue;
      sums.Add(rows + named.number * row_bytes, 0, table.dim,
               kWeighted ? bags.per_entry_weights[position] : 1.0f);
    }
    sums.Write(out.scale, out.format, out.columns, 0, table.dim);
    if (!kPartial && __builtin_expect(table.dim > kColumns, 0)) {
      PoolRest<Rows, kWeighted>(bags, table, begin, end, kColumns, out);
    }
    return end;
  }

  static EmbeddingFault Pool(const EmbeddingBags<Index>& bags, int64_t number,
                             int64_t first_row, int64_t last_row,
                             RowWalker<Index>& shared, uint8_t* output) {
    TablePooler pooler(bags, number, shared);
    const int64_t size = bags.output_format == RowFormat::kFloat32 ? 4 : 2;
    uint8_t* columns = output + pooler.table.output_column * size;
    const int64_t stride = bags.output_stride * size;
    for (int64_t row = first_row; row < last_row; ++row) {
      const int64_t bag = number * bags.batch + row;
      int64_t begin, end;
      if (!SpanOfBag(bags, bag, begin, end)) return OffsetFault(bags, bag);
      // Without pooling every entry is a bag of its own; one call serves both, as its
      // body is large.
      const bool is_pooled = bags.pooling != Pooling::kNone;
      const float scale = ScaleOf(bags, end - begin);
      do {
        const int64_t part_end = is_pooled ? end : begin + 1;
        if (!is_pooled && begin == end) break;
        const int64_t at = is_pooled ? row : begin;
        const int64_t stopped = pooler.PoolBag(
            begin, part_end, {columns + at * stride, bags.output_format, scale});
        if (__builtin_expect(stopped != part_end, 0)) {
          return IndexFault(bags, number, stopped);
        }
        begin = part_end;
      } while (__builtin_expect(begin < end, 0));
    }
    shared = pooler.walker;
    return {};
  }
};

template <typename Index>
using PoolTable = EmbeddingFault (*)(const EmbeddingBags<Index>&, int64_t, int64_t,
                                     int64_t, RowWalker<Index>&, uint8_t*);

template <typename Rows, bool kWeighted, typename Index>
PoolTable<Index> PoolerOfWidth(int64_t dim) {
  if (dim >= 8 * Vec::kLanes)
    return TablePooler<Rows, kWeighted, 8, false, Index>::Pool;
  if (dim >= 4 * Vec::kLanes)
    return TablePooler<Rows, kWeighted, 4, false, Index>::Pool;
  if (dim >= 2 * Vec::kLanes)
    return TablePooler<Rows, kWeighted, 2, false, Index>::Pool;
  if (dim >= Vec::kLanes) return TablePooler<Rows, kWeighted, 1, false, Index>::Pool;
  return TablePooler<Rows, kWeighted, 1, true, Index>::Pool;
}

template <bool kWeighted, typename Index>
PoolTable<Index> PoolerOf(RowFormat format, int64_t dim) {
  switch (format) {
    case RowFormat::kFloat32:
      break;
    case RowFormat::kFloat16:
      return PoolerOfWidth<Float16Rows, kWeighted, Index>(dim);
    case RowFormat::kBfloat16:
      return PoolerOfWidth<Bfloat16Rows, kWeighted, Index>(dim);
    case RowFormat::kInt8:
      return PoolerOfWidth<Int8Rows, kWeighted, Index>(dim);
    case RowFormat::kInt4:
      return PoolerOfWidth<Int4Rows, kWeighted, Index>(dim);
  }
  return PoolerOfWidth<Float32Rows, kWeighted, Index>(dim);
}

template <typename Index>
EmbeddingFault Forward(const EmbeddingBags<Index>& bags, int64_t first_bag,
                       int64_t last_bag, void* output) {
  RowWalker<Index> walker = RowWalker<Index>::AtBag(bags, first_bag, last_bag);
  for (int64_t entry = 0; entry < kAhead && walker.position < walker.last; ++entry) {
    const uint8_t* row = walker.Next(bags);
    PrefetchRow(row, walker.row_bytes);
  }
  const int64_t last_table = (last_bag - 1) / bags.batch;
  for (int64_t t = first_bag / bags.batch; t <= last_table; ++t) {
    const int64_t start = t * bags.batch;
    const int64_t first_row = first_bag > start ? first_bag - start : 0;
    const int64_t end = last_bag - start;
    const EmbeddingTable& table = bags.tables[t];
    const PoolTable<Index> pool = bags.per_entry_weights == nullptr
                                      ? PoolerOf<false, Index>(table.format, table.dim)
                                      : PoolerOf<true, Index>(table.format, table.dim);
    const EmbeddingFault fault =
        pool(bags, t, first_row, end < bags.batch ? end : bags.batch, walker,
             static_cast<uint8_t*>(output));
    if (!fault.ok()) return fault;
  }
  return {};
}
