// The embedding kernels against `Vec`, included once per instruction set by
// embedding_cpu.cc: no include guard and no include on purpose (see simd/vec.h).

// Sums one block of kBlock registers of columns over the entries [begin, end). With
// kPartial the block is one register of which `lanes` columns are real.
template <typename Index, int kBlock, bool kPartial>
struct BlockPooler {
  static constexpr int64_t kColumns = kBlock * Vec::kLanes;

  static Vec LoadAt(const float* p, int block, int64_t lanes) {
    if (kPartial) return Vec::LoadFirst(p, lanes);
    return Vec::Load(p + block * Vec::kLanes);
  }

  static void StoreAt(Vec vec, float* p, int block, int64_t lanes) {
    if (kPartial) {
      vec.StoreFirst(p, lanes);
    } else {
      vec.Store(p + block * Vec::kLanes);
    }
  }

  // Returns the position of the first bad index, or `end`.
  template <typename OnEntry>
  static int64_t Pool(const EmbeddingBags<Index>& bags, const EmbeddingTable& table,
                      int64_t begin, int64_t end, int64_t column, int64_t lanes,
                      float scale, float* out, OnEntry& on_entry) {
    Vec sums[kBlock];
    for (int block = 0; block < kBlock; ++block) sums[block] = Vec::Zero();
    for (int64_t position = begin; position < end; ++position) {
      on_entry.Advance();
      const int64_t index = bags.indices[position];
      if (static_cast<uint64_t>(index) >= static_cast<uint64_t>(table.num_rows)) {
        if (index == -1) continue;
        return position;
      }
      const float* row = table.rows + index * table.dim + column;
      if (bags.per_entry_weights == nullptr) {
        for (int block = 0; block < kBlock; ++block) {
          sums[block] = Vec::Add(sums[block], LoadAt(row, block, lanes));
        }
      } else {
        const Vec weight = Vec::Fill(bags.per_entry_weights[position]);
        for (int block = 0; block < kBlock; ++block) {
          sums[block] = Vec::MulAdd(LoadAt(row, block, lanes), weight, sums[block]);
        }
      }
    }
    const Vec scales = Vec::Fill(scale);
    for (int block = 0; block < kBlock; ++block) {
      if (scale != 1.0f) sums[block] = Vec::Mul(sums[block], scales);
      StoreAt(sums[block], out + column, block, lanes);
    }
    return end;
  }
};

// Stands in for the prefetcher after the first block of columns has fetched the rows.
struct NoPrefetch {
  void Advance() {}
};

template <typename Index>
EmbeddingFault IndexFault(const EmbeddingBags<Index>& bags, int64_t bag,
                          int64_t position) {
  return {EmbeddingFault::Kind::kIndex, bag / bags.batch, position,
          static_cast<int64_t>(bags.indices[position])};
}

template <typename Index>
float ScaleOf(const EmbeddingBags<Index>& bags, const BagSpan<Index>& span) {
  const int64_t length = span.end - span.begin;
  return bags.pooling == Pooling::kMean && length > 1
             ? 1.0f / static_cast<float>(length)
             : 1.0f;
}

// Pools the widest block that fits into the columns left and steps past it.
template <typename Index, typename OnEntry>
int64_t PoolNextBlock(const EmbeddingBags<Index>& bags, const EmbeddingTable& table,
                      const BagSpan<Index>& span, int64_t& column, float scale,
                      float* out, OnEntry& on_entry) {
  const int64_t left = table.dim - column;
  const int64_t at = column;
#define STEPWELL_POOL(kBlock)                                                         \
  if (left >= kBlock * Vec::kLanes) {                                                 \
    column += kBlock * Vec::kLanes;                                                   \
    return BlockPooler<Index, kBlock, false>::Pool(bags, table, span.begin, span.end, \
                                                   at, 0, scale, out, on_entry);      \
  }
  STEPWELL_POOL(8)
  STEPWELL_POOL(4)
  STEPWELL_POOL(2)
  STEPWELL_POOL(1)
#undef STEPWELL_POOL
  column += left;
  return BlockPooler<Index, 1, true>::Pool(bags, table, span.begin, span.end, at, left,
                                           scale, out, on_entry);
}

template <typename Index>
EmbeddingFault Forward(const EmbeddingBags<Index>& bags, int64_t first_bag,
                       int64_t last_bag, float* output) {
  RowPrefetcher<Index> prefetcher(bags, first_bag, last_bag);
  NoPrefetch no_prefetch;
  int64_t table_number = first_bag / bags.batch;
  int64_t row = first_bag % bags.batch;
  for (int64_t bag = first_bag; bag < last_bag; ++bag) {
    const EmbeddingTable& table = bags.tables[table_number];
    const BagSpan<Index> span = SpanOfBag(bags, bag);
    if (!span.fault.ok()) return span.fault;
    float* out = output + row * bags.output_stride + table.output_column;
    const float scale = ScaleOf(bags, span);
    int64_t column = 0;
    int64_t stopped = PoolNextBlock(bags, table, span, column, scale, out, prefetcher);
    while (stopped == span.end && column < table.dim) {
      stopped = PoolNextBlock(bags, table, span, column, scale, out, no_prefetch);
    }
    if (stopped != span.end) return IndexFault(bags, bag, stopped);
    if (++row == bags.batch) {
      row = 0;
      ++table_number;
    }
  }
  return {};
}

// target[0 .. dim) += scale * source[0 .. dim)
inline void AddScaled(const float* source, float scale, int64_t dim, float* target) {
  const Vec scales = Vec::Fill(scale);
  int64_t column = 0;
  for (; column + Vec::kLanes <= dim; column += Vec::kLanes) {
    Vec::MulAdd(Vec::Load(source + column), scales, Vec::Load(target + column))
        .Store(target + column);
  }
  if (column == dim) return;
  const int64_t left = dim - column;
  Vec::MulAdd(Vec::LoadFirst(source + column, left), scales,
              Vec::LoadFirst(target + column, left))
      .StoreFirst(target + column, left);
}

inline float Dot(const float* a, const float* b, int64_t dim) {
  Vec sums = Vec::Zero();
  int64_t column = 0;
  for (; column + Vec::kLanes <= dim; column += Vec::kLanes) {
    sums = Vec::MulAdd(Vec::Load(a + column), Vec::Load(b + column), sums);
  }
  if (column < dim) {
    const int64_t left = dim - column;
    sums = Vec::MulAdd(Vec::LoadFirst(a + column, left),
                       Vec::LoadFirst(b + column, left), sums);
  }
  return sums.Sum();
}

template <typename Index>
EmbeddingFault Backward(const EmbeddingBags<Index>& bags, int64_t table_number,
                        const float* output_grad, float* table_grad) {
  const EmbeddingTable& table = bags.tables[table_number];
  for (int64_t row = 0; row < bags.batch; ++row) {
    const int64_t bag = table_number * bags.batch + row;
    const BagSpan<Index> span = SpanOfBag(bags, bag);
    if (!span.fault.ok()) return span.fault;
    const float* grad = output_grad + row * bags.output_stride + table.output_column;
    const float scale = ScaleOf(bags, span);
    for (int64_t position = span.begin; position < span.end; ++position) {
      const int64_t index = bags.indices[position];
      if (index == -1) continue;
      if (index < 0 || index >= table.num_rows) return IndexFault(bags, bag, position);
      const float weight =
          bags.per_entry_weights == nullptr ? 1.0f : bags.per_entry_weights[position];
      AddScaled(grad, scale * weight, table.dim, table_grad + index * table.dim);
    }
  }
  return {};
}

template <typename Index>
EmbeddingFault WeightsBackward(const EmbeddingBags<Index>& bags, int64_t first_bag,
                               int64_t last_bag, const float* output_grad,
                               float* weights_grad) {
  for (int64_t bag = first_bag; bag < last_bag; ++bag) {
    const EmbeddingTable& table = bags.tables[bag / bags.batch];
    const BagSpan<Index> span = SpanOfBag(bags, bag);
    if (!span.fault.ok()) return span.fault;
    const float* grad =
        output_grad + bag % bags.batch * bags.output_stride + table.output_column;
    const float scale = ScaleOf(bags, span);
    for (int64_t position = span.begin; position < span.end; ++position) {
      const int64_t index = bags.indices[position];
      if (index < -1 || index >= table.num_rows) return IndexFault(bags, bag, position);
      weights_grad[position] =
          index == -1 ? 0.0f
                      : scale * Dot(grad, table.rows + index * table.dim, table.dim);
    }
  }
  return {};
}
