// The cross network's gradients against `Vec`, included once per instruction set by
// cross_network_backward_cpu.cc: no include guard and no header on purpose (see
// simd/vec.h).
#include "cc/kernels/interaction/product_tiles_body.h"

// Calls step.Run<kPartial>(at, lanes) for every register of `count` floats.
template <typename Step>
inline void ForEachVec(int64_t count, const Step& step) {
  int64_t at = 0;
  for (; at + Vec::kLanes <= count; at += Vec::kLanes) step.template Run<false>(at, 0);
  if (at < count) step.template Run<true>(at, count - at);
}

// next = x * crossed + previous.
struct NextInput {
  const float* x;
  const float* crossed;
  const float* previous;
  float* next;

  template <bool kPartial>
  void Run(int64_t at, int64_t lanes) const {
    StoreLanes<kPartial>(Vec::MulAdd(LoadLanes<kPartial>(x + at, lanes),
                                     LoadLanes<kPartial>(crossed + at, lanes),
                                     LoadLanes<kPartial>(previous + at, lanes)),
                         next + at, lanes);
  }
};

// crossed_grad = grad * x, and through_x += grad * crossed.
struct BackThroughProduct {
  const float* grad;
  const float* x;
  const float* crossed;
  float* crossed_grad;
  float* through_x;

  template <bool kPartial>
  void Run(int64_t at, int64_t lanes) const {
    const Vec along = LoadLanes<kPartial>(grad + at, lanes);
    StoreLanes<kPartial>(Vec::Mul(along, LoadLanes<kPartial>(x + at, lanes)),
                         crossed_grad + at, lanes);
    StoreLanes<kPartial>(Vec::MulAdd(along, LoadLanes<kPartial>(crossed + at, lanes),
                                     LoadLanes<kPartial>(through_x + at, lanes)),
                         through_x + at, lanes);
  }
};

// to += from.
struct AddTo {
  const float* from;
  float* to;

  template <bool kPartial>
  void Run(int64_t at, int64_t lanes) const {
    StoreLanes<kPartial>(Vec::Add(LoadLanes<kPartial>(to + at, lanes),
                                  LoadLanes<kPartial>(from + at, lanes)),
                         to + at, lanes);
  }
};

// The layers again, for `num_rows` samples from `first` on. `crossed` [L, num_rows, W]
// gets what each layer multiplies x by.
inline void RunAgain(const CrossNetworkBackward& pass, int64_t first, int64_t num_rows,
                     float* crossed) {
  const auto [num_layers, width, rank] = pass.shape;
  const float* x = pass.x + first * width;
  const float* input = x;
  for (int64_t layer = 0; layer < num_layers; ++layer) {
    float* hidden = pass.hidden + (layer * pass.batch + first) * rank;
    Multiply({{input, width, 1},
              pass.down + layer * width * rank,
              rank,
              hidden,
              rank,
              width,
              true},
             num_rows, rank);
    for (int64_t row = 0; row < num_rows; ++row) {
      std::memcpy(crossed + row * width, pass.bias + layer * width,
                  static_cast<size_t>(width) * sizeof(float));
    }
    Multiply({{hidden, rank, 1},
              pass.up + layer * rank * width,
              width,
              crossed,
              width,
              rank,
              false},
             num_rows, width);
    float* next = pass.inputs + (layer * pass.batch + first) * width;
    if (layer + 1 < num_layers) {
      ForEachVec(num_rows * width, NextInput{x, crossed, input, next});
    }
    input = next;
    crossed += num_rows * width;
  }
}

// From the gradient of the output, which x_grad holds at first, to that of x.
// `through_x` [num_rows, W], zeros at first, takes what comes through the factor x_0.
inline void RunBack(const CrossNetworkBackward& pass, int64_t first, int64_t num_rows,
                    const float* crossed, float* through_x) {
  const auto [num_layers, width, rank] = pass.shape;
  float* grad = pass.x_grad + first * width;
  for (int64_t layer = num_layers - 1; layer >= 0; --layer) {
    float* crossed_grad = pass.crossed_grad + (layer * pass.batch + first) * width;
    float* hidden_grad = pass.hidden_grad + (layer * pass.batch + first) * rank;
    ForEachVec(num_rows * width, BackThroughProduct{grad, pass.x + first * width,
                                                    crossed + layer * num_rows * width,
                                                    crossed_grad, through_x});
    Multiply({{crossed_grad, width, 1},
              pass.up_transposed + layer * width * rank,
              rank,
              hidden_grad,
              rank,
              width,
              true},
             num_rows, rank);
    Multiply({{hidden_grad, rank, 1},
              pass.down_transposed + layer * rank * width,
              width,
              grad,
              width,
              rank,
              false},
             num_rows, width);
  }
  ForEachVec(num_rows * width, AddTo{through_x, grad});
}

inline void BackwardSamples(const CrossNetworkBackward& pass, int64_t first,
                            int64_t num_rows, float* crossed, float* through_x) {
  RunAgain(pass, first, num_rows, crossed);
  RunBack(pass, first, num_rows, crossed, through_x);
}

inline void BackwardWeights(const CrossNetworkBackward& pass, int64_t layer,
                            int64_t first, int64_t num_columns) {
  const auto [num_layers, width, rank] = pass.shape;
  const int64_t samples = layer * pass.batch;
  const float* crossed_grad = pass.crossed_grad + samples * width + first;
  const float* input =
      (layer == 0 ? pass.x : pass.inputs + (samples - pass.batch) * width) + first;
  const int64_t matrix = layer * rank * width + first;
  Multiply({{pass.hidden + samples * rank, 1, rank},
            crossed_grad,
            width,
            pass.up_grad + matrix,
            width,
            pass.batch,
            true},
           rank, num_columns);
  Multiply({{pass.hidden_grad + samples * rank, 1, rank},
            input,
            width,
            pass.down_grad_transposed + matrix,
            width,
            pass.batch,
            true},
           rank, num_columns);
  for (int64_t row = 0; row < pass.batch; ++row) {
    ForEachVec(num_columns, AddTo{crossed_grad + row * width,
                                  pass.bias_grad + layer * width + first});
  }
}
