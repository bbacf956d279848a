// The cross network against `Vec`, included once per instruction set by
// cross_network_cpu.cc: no include guard and no header on purpose (see simd/vec.h).
#include "cc/kernels/interaction/product_tiles_body.h"

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
    AddProduct<kRows, kVecs, kPartial>({hidden + row * rank, rank, 1}, up + column,
                                       width, rank, lanes, sums);
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

inline void CrossLayer(const CrossNetworkShape& shape, const CrossWeights& weights,
                       int64_t num_rows, const float* x, const float* previous,
                       float* next, float* hidden) {
  Multiply({{previous, shape.width, 1},
            weights.down,
            shape.rank,
            hidden,
            shape.rank,
            shape.width,
            true},
           num_rows, shape.rank);
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
