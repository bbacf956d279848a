// The loops of gather_ceiling.cc for one instruction set; included by per_isa.h.

// One cache line of a row, as integers: sums of any bytes cost the same.
using Line = int32_t __attribute__((vector_size(64)));
// The same in memory, where a row starts at any multiple of 4 bytes.
using StoredLine = int32_t __attribute__((vector_size(64), aligned(4), may_alias));

// Where the prefetches are: entries of the tables one after the other.
struct Ahead {
  const Gather& work;
  int64_t table;
  int64_t entry;

  const uint8_t* Next(int64_t row_bytes) {
    const uint8_t* row = work.storage + work.table_starts[table] +
                         work.ids[table * work.entries() + entry] * row_bytes;
    if (++entry == work.entries()) {
      entry = 0;
      // Behind the last table it begins again, which reads nothing that is not there.
      if (++table == work.num_tables) table = 0;
    }
    return row;
  }
};

// Rows of kLines whole lines, and 8 bytes more when kTail.
template <int kLines, bool kTail>
void GatherRows(const Gather& work, int64_t distance) {
  constexpr int64_t kRowBytes = kLines * 64 + (kTail ? 8 : 0);
  const int64_t out_lines = work.out_bytes / 64;
  Ahead ahead{work, 0, 0};
  for (int64_t i = 0; i < distance; ++i) ahead.Next(kRowBytes);
  for (int64_t table = 0; table < work.num_tables; ++table) {
    const uint8_t* rows = work.storage + work.table_starts[table];
    const int64_t* ids = work.ids + table * work.entries();
    for (int64_t bag = 0; bag < work.num_bags; ++bag) {
      Line sums[kLines] = {};
      int32_t tail = 0;
      for (int64_t entry = 0; entry < work.bag_length; ++entry) {
        const uint8_t* row = rows + *ids++ * kRowBytes;
        const uint8_t* next = ahead.Next(kRowBytes);
#pragma GCC unroll 16
        for (int line = 0; line < kLines; ++line) {
          __builtin_prefetch(next + 64 * line);
          sums[line] += *reinterpret_cast<const StoredLine*>(row + 64 * line);
        }
        if (kTail) {
          __builtin_prefetch(next + 64 * kLines);
          tail += row[64 * kLines];
        }
      }
      if (kTail) sums[0][0] += tail;
      auto* out = reinterpret_cast<StoredLine*>(
          work.out + (bag * work.num_tables + table) * work.out_bytes);
#pragma GCC unroll 1
      for (int64_t block = 0; block < out_lines; block += kLines) {
#pragma GCC unroll 16
        for (int line = 0; line < kLines; ++line) {
          if (block + line < out_lines) out[block + line] = sums[line];
        }
      }
    }
  }
}

inline bool GatherAll(const Gather& work, int64_t row_bytes, int64_t distance) {
  switch (row_bytes) {
    case 64:
      return GatherRows<1, false>(work, distance), true;
    case 72:
      return GatherRows<1, true>(work, distance), true;
    case 128:
      return GatherRows<2, false>(work, distance), true;
    case 136:
      return GatherRows<2, true>(work, distance), true;
    case 256:
      return GatherRows<4, false>(work, distance), true;
    case 512:
      return GatherRows<8, false>(work, distance), true;
    default:
      return false;
  }
}

inline double MultiplyAdd(int64_t repeats) {
  Vec sums[kChains];
#pragma GCC unroll 12
  for (Vec& sum : sums) sum = Vec::Zero();
  Vec x = Vec::Fill(0.5f);
  for (int64_t i = 0; i < repeats; ++i) {
    // Keeps the compiler from seeing that x never changes and the chains are alike.
    asm volatile("" : "+v"(x.value));
#pragma GCC unroll 12
    for (Vec& sum : sums) {
      sum = Vec::MulAdd(x, x, sum);
      asm volatile("" : "+v"(sum.value));
    }
  }
  return 2.0 * Vec::kLanes * kChains * static_cast<double>(repeats);
}
