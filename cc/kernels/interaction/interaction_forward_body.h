// The forward kernels, included once per instruction set by interaction_forward_cpu.cc:
// no include guard and no include on purpose (see simd/vec.h).

// One sample's vectors as columns of quads: a quad is the four lanes that one step of a
// dot product takes of one vector, and quad [step * stride + i] is that of vector i.
struct Columns {
  float* data;
  int64_t stride;
  int64_t num_steps;

  float* quad(int64_t step, int64_t vector) const {
    return data + (step * stride + vector) * kQuad;
  }
};

// A register has quads of so many vectors.
constexpr int64_t kQuads = Vec::kLanes / kQuad;

// Writes the quads of kQuads vectors for the kQuads steps that a register of each has.
template <typename Element>
void FillSteps(const Element* const* vectors, int64_t at, int64_t count, float* to,
               int64_t stride) {
  Vec rows[kQuads];
#pragma GCC unroll 4
  for (int64_t k = 0; k < kQuads; ++k) {
    rows[k] = Products::Load(vectors[k] + at, count);
  }
  Lanes::TransposeQuads(rows);
#pragma GCC unroll 4
  for (int64_t k = 0; k < kQuads; ++k) rows[k].Store(to + k * stride * kQuad);
}

// Writes the columns of the vectors from `first` on, kQuads of them at a time; the room
// past the last vector gets copies of it, which no dot that is stored looks at.
template <typename Element>
void FillColumns(const SampleVectors<Element>& sample, int64_t first,
                 const Columns columns) {
  constexpr int64_t kTaken = Vec::kLanes * Products::kPerLane;
  const int64_t last = sample.num_vectors() - 1;
  const int64_t dim = sample.dim;
  for (int64_t i = first - first % kQuads; i <= last; i += kQuads) {
    const Element* vectors[kQuads];
    for (int64_t k = 0; k < kQuads; ++k) {
      vectors[k] = sample.at(i + k < last ? i + k : last);
    }
    float* to = columns.quad(0, i);
    int64_t at = 0;
    for (; at + kTaken <= dim; at += kTaken) {
      FillSteps(vectors, at, kTaken, to, columns.stride);
      to += columns.stride * kQuads * kQuad;
    }
    if (at < dim) FillSteps(vectors, at, dim - at, to, columns.stride);
  }
}

// Lane k * kQuads + q: the sum of quad q of sums[k]. Lanes past kVecs * kQuads hold
// sums that nobody stores.
template <int kVecs>
Vec SumQuads(const Vec* sums) {
  const Vec low = Lanes::AddPairs(sums[0], sums[kVecs > 1 ? 1 : 0]);
  if constexpr (kVecs <= 2) return Lanes::AddHalves(low, low);
  constexpr int kLast = kVecs > 2 ? kVecs - 1 : 0;
  return Lanes::AddHalves(low, Lanes::AddPairs(sums[kVecs > 2 ? 2 : 0], sums[kLast]));
}

// Dots of vectors i .. i + kRows with the vectors of kVecs <= kQuad registers from j
// on, of which those below the diagonal are stored. A sum gathers in the four lanes of
// a quad: only at its end do lanes meet, and the columns need no finer transposition.
// The sums must all fit into registers.
template <int kRows, int kVecs, typename Element>
void DotTile(const Columns& columns, int64_t i, int64_t j, Element* pairs) {
  Vec sums[kRows][kVecs];
#pragma GCC unroll 16
  for (int row = 0; row < kRows; ++row) {
#pragma GCC unroll 4
    for (int vec = 0; vec < kVecs; ++vec) sums[row][vec] = Vec::Zero();
  }
  const float* left = columns.quad(0, i);
  const float* right = columns.quad(0, j);
  for (int64_t step = 0; step < columns.num_steps; ++step) {
    Vec rights[kVecs];
#pragma GCC unroll 4
    for (int vec = 0; vec < kVecs; ++vec) {
      rights[vec] = Vec::Load(right + vec * Vec::kLanes);
    }
#pragma GCC unroll 16
    for (int row = 0; row < kRows; ++row) {
      const Vec one = Lanes::FillQuads(left + row * kQuad);
#pragma GCC unroll 4
      for (int vec = 0; vec < kVecs; ++vec) {
        sums[row][vec] = Products::Add(one, rights[vec], sums[row][vec]);
      }
    }
    left += columns.stride * kQuad;
    right += columns.stride * kQuad;
  }
  Element* out = pairs + i * (i - 1) / 2 + j;
#pragma GCC unroll 16
  for (int row = 0; row < kRows; ++row) {
    Lanes::Store(SumQuads<kVecs>(sums[row]), out, i + row - j);
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

// Dots of the vectors i .. past with the kLanes vectors from j on, all before i.
template <typename Element>
void DotBlock(const Columns& columns, int64_t i, int64_t past, int64_t j,
              Element* pairs) {
  // 24 sums of 32 registers, or 8 of 16.
  constexpr int kMaxRows = Vec::kLanes == 16 ? 6 : 2;
  const int64_t num_rows = past - i;
  const int64_t num_tiles = (num_rows + kMaxRows - 1) / kMaxRows;
  for (int64_t tile = 0; tile < num_tiles; ++tile) {
    const int64_t from = num_rows * tile / num_tiles;
    const int64_t to = num_rows * (tile + 1) / num_tiles;
    DotTileOf<kMaxRows, kQuad>(to - from, columns, i + from, j, pairs);
  }
}

// The same where the vectors from j on reach the diagonal: i .. past is within
// j + 1 .. j + kLanes + 1. Rows take no more registers than they have vectors before
// them, of which kVecs and more are left to look at.
template <int kVecs = 1, typename Element>
void DotDiagonal(const Columns& columns, int64_t i, int64_t past, int64_t j,
                 Element* pairs) {
  const int64_t reach = j + kVecs * kQuads + 1;
  const int64_t end = reach < past ? reach : past;
  if (i < end) {
    DotTileOf<kQuads, kVecs>(end - i, columns, i, j, pairs);
    i = end;
  }
  if constexpr (kVecs < kQuad) {
    if (i < past) DotDiagonal<kVecs + 1>(columns, i, past, j, pairs);
  }
}

// Dots of the vectors from `first` up to `past` with all vectors before them, a band of
// rows for each kLanes vectors.
template <typename Element>
void DotRows(const Columns& columns, int64_t first, int64_t past, Element* pairs) {
  int64_t i = first > 1 ? first : 1;
  while (i < past) {
    const int64_t diagonal = (i - 1) / Vec::kLanes * Vec::kLanes;
    const int64_t band_end = diagonal + Vec::kLanes + 1;
    const int64_t end = band_end < past ? band_end : past;
    for (int64_t j = 0; j < diagonal; j += Vec::kLanes) {
      DotBlock(columns, i, end, j, pairs);
    }
    DotDiagonal(columns, i, end, diagonal, pairs);
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

// `scratch` has ColumnFloats(sample) floats and starts a cache line.
template <typename Element>
void Forward(SampleVectors<Element> sample, int64_t num_samples, Element* output,
             float* scratch) {
  constexpr int64_t kPerStep = kQuad * Products::kPerLane;
  const Columns columns = {scratch, ColumnStride(sample),
                           (sample.dim + kPerStep - 1) / kPerStep};
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
