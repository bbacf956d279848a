// Tiles of matrix products against `Vec`, part of the bodies of the cross network: no
// include guard and no include on purpose (see simd/vec.h).

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

// A matrix whose element (row, depth) is at[row * row_stride + depth * depth_stride],
// so that a transposed one is read as it lies.
struct LeftMatrix {
  const float* at;
  int64_t row_stride;
  int64_t depth_stride;
};

// sums += left [kRows, depth] times right [depth, kVecs registers]. The order of the
// additions of one sum is that of the depth, whatever the tile.
template <int kRows, int kVecs, bool kPartial>
inline void AddProduct(LeftMatrix left, const float* right, int64_t right_stride,
                       int64_t depth, int64_t lanes, Vec (&sums)[kRows][kVecs]) {
  for (int64_t d = 0; d < depth; ++d, right += right_stride) {
    Vec row_of_right[kVecs];
#pragma GCC unroll 4
    for (int vec = 0; vec < kVecs; ++vec) {
      row_of_right[vec] = LoadLanes<kPartial>(right + vec * Vec::kLanes, lanes);
    }
#pragma GCC unroll 8
    for (int row = 0; row < kRows; ++row) {
      const Vec factor = Vec::Fill(left.at[row * left.row_stride]);
#pragma GCC unroll 4
      for (int vec = 0; vec < kVecs; ++vec) {
        sums[row][vec] = Vec::MulAdd(factor, row_of_right[vec], sums[row][vec]);
      }
    }
    left.at += left.depth_stride;
  }
}

// to [rows, columns] += left [rows, depth] times right [depth, columns]; `first` starts
// from zero.
struct ProductTiles {
  LeftMatrix left;
  const float* right;
  int64_t right_stride;
  float* to;
  int64_t to_stride;
  int64_t depth;
  bool first;

  template <int kRows, int kVecs, bool kPartial>
  void Run(int64_t row, int64_t column, int64_t lanes) const {
    float* corner = to + row * to_stride + column;
    Vec sums[kRows][kVecs];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < kVecs; ++v) {
        const float* at = corner + r * to_stride + v * Vec::kLanes;
        sums[r][v] = first ? Vec::Zero() : LoadLanes<kPartial>(at, lanes);
      }
    }
    const LeftMatrix rows = {left.at + row * left.row_stride, left.row_stride,
                             left.depth_stride};
    AddProduct<kRows, kVecs, kPartial>(rows, right + column, right_stride, depth, lanes,
                                       sums);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < kVecs; ++v) {
        StoreLanes<kPartial>(sums[r][v], corner + r * to_stride + v * Vec::kLanes,
                             lanes);
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

// The same by blocks of the depth, so that a tile's columns of the right matrix stay in
// the L1 cache.
inline void Multiply(ProductTiles tiles, int64_t num_rows, int64_t num_columns) {
  const int64_t depth = tiles.depth;
  for (int64_t d = 0; d < depth; d += kDepthBlock) {
    tiles.depth = depth - d < kDepthBlock ? depth - d : kDepthBlock;
    RunAll(tiles, num_rows, num_columns);
    tiles.first = false;
    tiles.left.at += kDepthBlock * tiles.left.depth_stride;
    tiles.right += kDepthBlock * tiles.right_stride;
  }
}
