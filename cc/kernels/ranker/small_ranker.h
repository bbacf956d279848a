#ifndef CC_KERNELS_RANKER_SMALL_RANKER_H_
#define CC_KERNELS_RANKER_SMALL_RANKER_H_

#include <cstdint>
#include <vector>

#include "cc/kernels/simd/isa.h"

namespace stepwell::kernels {

// A ranker so small that what is around its products is what it costs: standardised
// dense columns and rows of small tables side by side through dense layers, in float.
// All arrays are borrowed.
struct SmallRanker {
  struct Column {
    int64_t place;  // in a candidate's dense values
    bool is_log;    // log(1 + max(value, 0)) first
    float mean;
    float inverse_scale;
  };
  struct Table {
    int64_t place;  // in a candidate's sparse values
    const float* rows;
    int64_t num_rows;
    int64_t dim;
  };
  // All but the last are followed by a ReLU, in which NaN stays NaN.
  struct Layer {
    const float* weight;  // [num_inputs, num_outputs]
    const float* bias;    // [num_outputs]
    int64_t num_inputs;
    int64_t num_outputs;
  };

  std::vector<Column> columns;
  float clip = 0.0f;  // standardised columns are clipped to [-clip, clip]
  std::vector<Table> tables;
  std::vector<Layer> layers;  // at least one

  int64_t num_inputs() const;
  int64_t num_outputs() const { return layers.back().num_outputs; }
};

// Dense [num_candidates, dense_stride], sparse [num_candidates, sparse_stride].
struct SmallRankerInputs {
  const float* dense;
  int64_t dense_stride;
  const int64_t* sparse;
  int64_t sparse_stride;
  int64_t num_candidates;
};

// Writes logits [num_candidates, num_outputs]. Rows and places must be in range. A
// dense value that is not finite counts as its column's mean.
void ScoreSmall(const SmallRanker& ranker, const SmallRankerInputs& inputs,
                float* logits, Isa isa = BestIsa());

}  // namespace stepwell::kernels

#endif  // CC_KERNELS_RANKER_SMALL_RANKER_H_
