// The forward kernels, included once per instruction set by interaction_forward_cpu.cc:
// no include guard and no include on purpose (see simd/vec.h).

// One sample's vectors as columns: element [step * stride + i] holds the components
// that step `step` of a dot product takes of vector i.
struct Columns {
  float* data;
  int64_t stride;
  int64_t num_steps;
};

inline int64_t NumSteps(int64_t dim) {
  return (dim + Products::kPerLane - 1) / Products::kPerLane;
}

// Writes kLanes columns. `Source` is float or Bfloat16 when a lane takes one component;
// when it takes two, float stands for a pair of bfloat16.
template <typename Source>
void TransposeColumns(const Source* const* vectors, int64_t num_steps, float* columns,
                      int64_t stride) {
  int64_t step = 0;
  for (; step + Lanes::kStep <= num_steps; step += Lanes::kStep) {
    Vec block[Lanes::kStep];
    Lanes::LoadColumns(vectors, step, block);
#pragma GCC unroll 8
    for (int64_t k = 0; k < Lanes::kStep; ++k) {
      block[k].Store(columns + (step + k) * stride);
    }
  }
  if (step == num_steps) return;
  Vec rows[Vec::kLanes];
  for (int64_t k = 0; k < Vec::kLanes; ++k) {
    rows[k] = Lanes::Load(vectors[k] + step, num_steps - step);
  }
  Lanes::Transpose(rows);
  for (int64_t k = 0; step + k < num_steps; ++k) {
    rows[k].Store(columns + (step + k) * stride);
  }
}

// The last component of vectors of odd length, beside a zero.
inline void OddComponents(const Bfloat16* const* vectors, int64_t at, float* columns) {
  for (int64_t k = 0; k < Vec::kLanes; ++k) {
    const uint32_t pair = vectors[k][at].bits;
    __builtin_memcpy(columns + k, &pair, sizeof pair);
  }
}

// Writes the columns of the vectors from `first` on, kLanes at a time; the room past
// the last vector gets copies of it, which no dot that is stored looks at.
template <typename Element>
void FillColumns(const SampleVectors<Element>& sample, int64_t first,
                 const Columns& columns) {
  const int64_t last = sample.num_vectors() - 1;
  for (int64_t i = first; i <= last; i += Vec::kLanes) {
    const Element* vectors[Vec::kLanes];
    for (int64_t k = 0; k < Vec::kLanes; ++k) {
      vectors[k] = sample.at(i + k < last ? i + k : last);
    }
    float* to = columns.data + i;
    if constexpr (Products::kPerLane == 1) {
      TransposeColumns(vectors, columns.num_steps, to, columns.stride);
    } else {
      const float* pairs[Vec::kLanes];
      for (int64_t k = 0; k < Vec::kLanes; ++k) {
        pairs[k] = reinterpret_cast<const float*>(vectors[k]);
      }
      const int64_t num_pairs = sample.dim / 2;
      TransposeColumns(pairs, num_pairs, to, columns.stride);
      if (num_pairs < columns.num_steps) {
        OddComponents(vectors, sample.dim - 1, to + num_pairs * columns.stride);
      }
    }
  }
}

// Dots of vectors i .. i + kRows with vectors j .. j + kVecs * kLanes, of which those
// below the diagonal are stored. Lanes run along j, so that no sum crosses lanes and a
// row of the triangle is stored as it lies. The sums must all fit into registers.
template <int kRows, int kVecs, typename Element>
void DotTile(const Columns& columns, int64_t i, int64_t j, Element* pairs) {
  Vec sums[kRows][kVecs];
#pragma GCC unroll 16
  for (int row = 0; row < kRows; ++row) {
#pragma GCC unroll 2
    for (int vec = 0; vec < kVecs; ++vec) sums[row][vec] = Vec::Zero();
  }
  const float* left = columns.data + i;
  const float* right = columns.data + j;
  for (int64_t step = 0; step < columns.num_steps; ++step) {
    Vec rights[kVecs];
#pragma GCC unroll 2
    for (int vec = 0; vec < kVecs; ++vec) {
      rights[vec] = Vec::Load(right + vec * Vec::kLanes);
    }
#pragma GCC unroll 16
    for (int row = 0; row < kRows; ++row) {
      const Vec one = Vec::Fill(left[row]);
#pragma GCC unroll 2
      for (int vec = 0; vec < kVecs; ++vec) {
        sums[row][vec] = Products::Add(one, rights[vec], sums[row][vec]);
      }
    }
    left += columns.stride;
    right += columns.stride;
  }
  Element* out = pairs + i * (i - 1) / 2 + j;
#pragma GCC unroll 16
  for (int row = 0; row < kRows; ++row) {
    // Only the last register can reach the diagonal.
    if constexpr (kVecs == 2) Lanes::Store(sums[row][0], out, Vec::kLanes);
    constexpr int64_t kLast = (kVecs - 1) * Vec::kLanes;
    Lanes::Store(sums[row][kVecs - 1], out + kLast, i + row - j - kLast);
    out += i + row;
  }
}

// The tile of `num_rows` <= kRows rows.
template <int kRows, int kVecs, typename Element>
void DotTileOf(int64_t num_rows, const Columns& columns, int64_t i, int64_t j,
               Element* pairs) {
  if constexpr (kRows > 1) {
    if (num_rows < kRows) {
      return DotTileOf<kRows - 1, kVecs>(num_rows, columns, i, j, pairs);
    }
  }
  DotTile<kRows, kVecs>(columns, i, j, pairs);
}

// Dots of `num_rows` <= kLanes vectors from i on with the first `num_vecs` registers of
// columns.
template <typename Element>
void DotBand(const Columns& columns, int64_t i, int64_t num_rows, int64_t num_vecs,
             Element* pairs) {
  // With two registers a row: 24 sums of 32 registers, or 8 of 16.
  constexpr int kMaxRows = Vec::kLanes == 16 ? 12 : 4;
  const int64_t num_tiles = (num_rows + kMaxRows - 1) / kMaxRows;
  int64_t vec = 0;
  for (; vec + 2 <= num_vecs; vec += 2) {
    for (int64_t tile = 0; tile < num_tiles; ++tile) {
      const int64_t from = num_rows * tile / num_tiles;
      const int64_t to = num_rows * (tile + 1) / num_tiles;
      DotTileOf<kMaxRows, 2>(to - from, columns, i + from, vec * Vec::kLanes, pairs);
    }
  }
  if (vec == num_vecs) return;
  DotTileOf<Vec::kLanes, 1>(num_rows, columns, i, vec * Vec::kLanes, pairs);
}

// Dots of the vectors from `first` up to `past` with all vectors before them. Rows that
// need the same registers of columns make a band.
template <typename Element>
void DotRows(const Columns& columns, int64_t first, int64_t past, Element* pairs) {
  int64_t i = first > 1 ? first : 1;
  while (i < past) {
    const int64_t num_vecs = (i + Vec::kLanes - 1) / Vec::kLanes;
    const int64_t band_end = num_vecs * Vec::kLanes + 1;
    const int64_t end = band_end < past ? band_end : past;
    DotBand(columns, i, end - i, num_vecs, pairs);
    i = end;
  }
}

// Asks for the next sample's own vectors while this one's dots keep the processor busy:
// it does not see by itself where a transposition of many rows will go on.
template <typename Element>
void PrefetchNext(const SampleVectors<Element>& sample) {
  constexpr int64_t kPerLine = 64 / static_cast<int64_t>(sizeof(Element));
  const int64_t size = sample.num_tail * sample.dim;
  const Element* next = sample.tail + size;
  for (int64_t at = 0; at < size; at += kPerLine) __builtin_prefetch(next + at);
}

// `scratch` has ColumnStride(sample) * dim floats and starts a cache line.
template <typename Element>
void Forward(SampleVectors<Element> sample, int64_t num_samples, Element* output,
             float* scratch) {
  const int64_t stride = ColumnStride(sample);
  const Columns columns = {scratch, stride, NumSteps(sample.dim)};
  const int64_t num_vectors = sample.num_vectors();
  const int64_t output_dim = sample.dim + num_vectors * (num_vectors - 1) / 2;
  const bool shares_head = sample.head_stride == 0;
  const Element* first_row = output;
  int64_t num_done = 0;
  for (int64_t s = 0; s < num_samples; ++s) {
    FillColumns(sample, num_done, columns);
    if (num_done == 0) {
      CopyElements(sample.head, sample.dim, output);
    } else {
      CopyElements(first_row, sample.dim + num_done * (num_done - 1) / 2, output);
    }
    if (s + 1 < num_samples) PrefetchNext(sample);
    DotRows(columns, num_done, num_vectors, output + sample.dim);
    // What the samples share stays in the columns and in the first row of output.
    if (shares_head) num_done = sample.num_head;
    sample.Advance();
    output += output_dim;
  }
}
