// The cross network against `Vec`, included once per instruction set by
// cross_network_cpu.cc: no include guard and no include on purpose (see simd/vec.h).

// Registers side by side in a tile of kTileRows rows: 24 sums of 32 registers, or 12 of
// 16.
constexpr int kTileVecs = Vec::kLanes == 16 ? 4 : 2;

// `lanes` of a partial register are loaded and stored, else all.
template <bool kPartial>
inline Vec LoadLanes(const float* p, int64_t lanes) {
  return kPartial ? Vec::LoadFirst(p, lanes) : Vec::Load(p);
}

template <bool kPartial>
inline void StoreLanes(Vec vec, float* p, int64_t lanes) {
  if (kPartial) {
    vec.StoreFirst(p, lanes);
  } else {
    vec.Store(p);
  }
}

// sums += left [kRows, depth] times right [depth, kVecs registers]. The order of the
// additions of one sum is that of the depth, whatever the tile.
template <int kRows, int kVecs, bool kPartial>
inline void AddProduct(const float* left, int64_t left_stride, const float* right,
                       int64_t right_stride, int64_t depth, int64_t lanes,
                       Vec (&sums)[kRows][kVecs]) {
  for (int64_t d = 0; d < depth; ++d, right += right_stride) {
    Vec row_of_right[kVecs];
#pragma GCC unroll 4
    for (int vec = 0; vec < kVecs; ++vec) {
      row_of_right[vec] = LoadLanes<kPartial>(right + vec * Vec::kLanes, lanes);
    }
#pragma GCC unroll 8
    for (int row = 0; row < kRows; ++row) {
      const Vec factor = Vec::Fill(left[row * left_stride + d]);
#pragma GCC unroll 4
      for (int vec = 0; vec < kVecs; ++vec) {
        sums[row][vec] = Vec::MulAdd(factor, row_of_right[vec], sums[row][vec]);
      }
    }
  }
}

// hidden [rows, rank] += previous [rows, depth] times down [depth, rank]; `first`
// starts from zero.
struct HiddenTiles {
  const float* previous;
  const float* down;
  float* hidden;
  int64_t width;
  int64_t rank;
  int64_t depth;
  bool first;

  template <int kRows, int kVecs, bool kPartial>
  void Run(int64_t row, int64_t column, int64_t lanes) const {
    float* to = hidden + row * rank + column;
    Vec sums[kRows][kVecs];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < kVecs; ++v) {
        sums[r][v] = first
                         ? Vec::Zero()
                         : LoadLanes<kPartial>(to + r * rank + v * Vec::kLanes, lanes);
      }
    }
    AddProduct<kRows, kVecs, kPartial>(previous + row * width, width, down + column,
                                       rank, depth, lanes, sums);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < kVecs; ++v) {
        StoreLanes<kPartial>(sums[r][v], to + r * rank + v * Vec::kLanes, lanes);
      }
    }
  }
};

// next = x * (hidden times up + bias) + previous. `next` may be `previous`.
struct CombineTiles {
  const float* x;
  const float* hidden;
  const float* up;
  const float* bias;
  const float* previous;
  float* next;
  int64_t width;
  int64_t rank;

  template <int kRows, int kVecs, bool kPartial>
  void Run(int64_t row, int64_t column, int64_t lanes) const {
    Vec sums[kRows][kVecs];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < kVecs; ++v) {
        sums[r][v] = LoadLanes<kPartial>(bias + column + v * Vec::kLanes, lanes);
      }
    }
    AddProduct<kRows, kVecs, kPartial>(hidden + row * rank, rank, up + column, width,
                                       rank, lanes, sums);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < kVecs; ++v) {
        const int64_t at = (row + r) * width + column + v * Vec::kLanes;
        const Vec next_vec = Vec::MulAdd(LoadLanes<kPartial>(x + at, lanes), sums[r][v],
                                         LoadLanes<kPartial>(previous + at, lanes));
        StoreLanes<kPartial>(next_vec, next + at, lanes);
      }
    }
  }
};

// Runs tiles of `kVecs` registers at `column` down all rows.
template <int kVecs, bool kPartial, typename Tiles>
inline void RunDown(const Tiles& tiles, int64_t num_rows, int64_t column,
                    int64_t lanes) {
  int64_t row = 0;
  for (; row + kTileRows <= num_rows; row += kTileRows) {
    tiles.template Run<kTileRows, kVecs, kPartial>(row, column, lanes);
  }
  for (; row + 3 <= num_rows; row += 3) {
    tiles.template Run<3, kVecs, kPartial>(row, column, lanes);
  }
  for (; row < num_rows; ++row) {
    tiles.template Run<1, kVecs, kPartial>(row, column, lanes);
  }
}

template <typename Tiles>
inline void RunAll(const Tiles& tiles, int64_t num_rows, int64_t num_columns) {
  constexpr int64_t kWide = kTileVecs * Vec::kLanes;
  int64_t column = 0;
  for (; column + kWide <= num_columns; column += kWide) {
    RunDown<kTileVecs, false>(tiles, num_rows, column, 0);
  }
  for (; column + 2 * Vec::kLanes <= num_columns; column += 2 * Vec::kLanes) {
    RunDown<2, false>(tiles, num_rows, column, 0);
  }
  for (; column + Vec::kLanes <= num_columns; column += Vec::kLanes) {
    RunDown<1, false>(tiles, num_rows, column, 0);
  }
  if (column < num_columns) {
    RunDown<1, true>(tiles, num_rows, column, num_columns - column);
  }
}

inline void CrossLayer(const CrossNetworkShape& shape, const CrossWeights& weights,
                       int64_t num_rows, const float* x, const float* previous,
                       float* next, float* hidden) {
  for (int64_t d = 0; d < shape.width; d += kDepthBlock) {
    const int64_t left = shape.width - d;
    const int64_t depth = left < kDepthBlock ? left : kDepthBlock;
    RunAll(HiddenTiles{previous + d, weights.down + d * shape.rank, hidden, shape.width,
                       shape.rank, depth, d == 0},
           num_rows, shape.rank);
  }
  RunAll(CombineTiles{x, hidden, weights.up, weights.bias, previous, next, shape.width,
                      shape.rank},
         num_rows, shape.width);
}

// All layers of one block of samples; `hidden` has room for [num_rows, rank].
inline void CrossBlock(const CrossNetworkShape& shape, CrossWeights weights,
                       int64_t num_rows, const float* x, float* output, float* hidden) {
  const float* previous = x;
  for (int64_t layer = 0; layer < shape.num_layers; ++layer) {
    CrossLayer(shape, weights, num_rows, x, previous, output, hidden);
    previous = output;
    weights.down += shape.width * shape.rank;
    weights.up += shape.rank * shape.width;
    weights.bias += shape.width;
  }
}
