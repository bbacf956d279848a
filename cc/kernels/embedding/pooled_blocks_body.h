// Sums of blocks of columns over the entries of a bag, against `Vec`; part of the body
// of the forward pass: no include guard and no include but of other bodies (see
// simd/vec.h).
#include "cc/kernels/embedding/row_readers_body.h"

// Writes the first `lanes` columns of a register in 16 bits each. Out of line, for what
// is seldom asked for; by value, so that sums stay in registers.
__attribute__((noinline)) inline void WriteHalves(RowFormat format, Vec values,
                                                  int64_t lanes, uint8_t* to) {
  uint8_t part[2 * Vec::kLanes];
  uint8_t* at = lanes < Vec::kLanes ? part : to;
  if (format == RowFormat::kFloat16) {
    values.StoreFloat16(at);
  } else {
    values.StoreBfloat16(at);
  }
  if (lanes < Vec::kLanes) __builtin_memcpy(to, part, 2 * lanes);
}

// The sums of one block of kBlock registers of columns over the entries of a bag. With
// kPartial the block is one register of which `lanes` columns are real.
template <typename Rows, int kBlock, bool kPartial>
struct BlockSums {
  static constexpr bool kIsQuantised = IsQuantised(Rows::kFormat);
  static constexpr int64_t kHeader = kIsQuantised ? kRowHeaderBytes : 0;
  // Cache lines of a row that Add prefetches: those of a whole block from column 0.
  static constexpr int64_t kLines =
      (RowBytes(Rows::kFormat, kPartial ? 0 : kBlock * Vec::kLanes) + 63) / 64;
  static_assert(kLines <= kBlock, "Add prefetches a line beside each register");

  Vec sums[kBlock];
  float bias = 0.0f;  // the same for all columns, so it is added once a bag

  STEPWELL_INLINE BlockSums() {
    STEPWELL_UNROLL
    for (int v = 0; v < kBlock; ++v) sums[v] = Vec::Zero();
  }

  // Adds a row and prefetches another.
  STEPWELL_INLINE void Add(const uint8_t* row, const uint8_t* next, int64_t column,
                           int64_t lanes, float weight) {
    Vec values[kBlock];
    if constexpr (kPartial) {
      values[0] = Rows::LoadFirst(row + kHeader, column, lanes);
    } else {
      Rows::template Load<kBlock>(row + kHeader, column, values);
    }
    if constexpr (kIsQuantised) {
      const float* header = reinterpret_cast<const float*>(row);
      bias += weight * header[1];
      weight *= header[0];
    }
    const Vec scales = Vec::Fill(weight);
    STEPWELL_UNROLL
    for (int v = 0; v < kBlock; ++v) {
      if (v < kLines) __builtin_prefetch(next + v * 64);
      sums[v] = Vec::MulAdd(values[v], scales, sums[v]);
    }
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
      STEPWELL_UNROLL
      for (int v = 0; v < kBlock; ++v) {
        uint8_t* to = output + 2 * (column + v * Vec::kLanes);
        if (!kPartial && format == RowFormat::kBfloat16) {
          sums[v].StoreBfloat16(to);
        } else {
          WriteHalves(format, sums[v], kPartial ? lanes : Vec::kLanes, to);
        }
      }
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
template <typename Rows, int kBlock, bool kPartial, typename Index>
void PoolBlockAgain(const EmbeddingBags<Index>& bags, const EmbeddingTable& table,
                    int64_t begin, int64_t end, int64_t column, BagOutput out) {
  const uint8_t* rows = static_cast<const uint8_t*>(table.rows);
  const int64_t row_bytes = RowBytes(Rows::kFormat, table.dim);
  const int64_t lanes = table.dim - column;
  BlockSums<Rows, kBlock, kPartial> sums;
  for (int64_t position = begin; position < end; ++position) {
    const int64_t number = RowOf(table, bags.indices[position]).number;
    if (number < 0) continue;
    const uint8_t* row = rows + number * row_bytes;
    sums.Add(
        row, row, column, lanes,
        bags.per_entry_weights == nullptr ? 1.0f : bags.per_entry_weights[position]);
  }
  sums.Write(out.scale, out.format, out.columns, column, lanes);
}

template <typename Rows, typename Index>
__attribute__((noinline)) void PoolRest(const EmbeddingBags<Index>& bags,
                                        const EmbeddingTable& table, int64_t begin,
                                        int64_t end, int64_t column, BagOutput out) {
  while (column < table.dim) {
    const int64_t left = table.dim - column;
#define STEPWELL_POOL(kBlock)                                                  \
  if (left >= kBlock * Vec::kLanes) {                                          \
    PoolBlockAgain<Rows, kBlock, false>(bags, table, begin, end, column, out); \
    column += kBlock * Vec::kLanes;                                            \
    continue;                                                                  \
  }
    STEPWELL_POOL(8)
    STEPWELL_POOL(4)
    STEPWELL_POOL(2)
    STEPWELL_POOL(1)
#undef STEPWELL_POOL
    PoolBlockAgain<Rows, 1, true>(bags, table, begin, end, column, out);
    return;
  }
}
