#ifndef CC_KERNELS_RANKER_RANKER_H_
#define CC_KERNELS_RANKER_RANKER_H_

#include <cstdint>
#include <vector>

namespace stepwell::kernels {

// A DLRM over many candidates of few users, whole: dense columns in, logits out, a
// block of candidates at a time, so that nothing between two layers leaves the cache.
// What of an item depends on the item alone is not computed but read: its vectors, laid
// out for the dots, and its part of the first layer above them.

// Outputs of a matrix lie in panels of kPanel; what is packed is padded with zeros.
constexpr int64_t kPanel = 64;
// Vectors of an item lie in groups of kGroup.
constexpr int64_t kGroup = 16;

// One layer: x @ W + bias, ReLU where asked. Packed so that four bytes of the inputs
// meet one register of W: two bfloat16 inputs, or four codes.
struct RankerLayer {
  bool is_int8;
  bool relu;
  // Codes of inputs that may be negative have their zero at 128, others at 0.
  bool is_signed;
  int64_t num_inputs;
  int64_t num_outputs;
  // [panels][ceil(num_inputs / n)][kPanel][n]: n = 2 bfloat16, or 4 int8.
  const void* weights;
  const float* bias;     // [panels * kPanel]
  const float* scales;   // [panels * kPanel], int8 only: of an output's codes
  const int32_t* start;  // [panels * kPanel], int8 only: -zero * the sum of its codes

  int64_t num_panels() const { return (num_outputs + kPanel - 1) / kPanel; }
  int64_t padded_outputs() const { return num_panels() * kPanel; }
  int64_t inputs_a_step() const { return is_int8 ? 4 : 2; }
  int64_t num_steps() const {
    return (num_inputs + inputs_a_step() - 1) / inputs_a_step();
  }
};

// The model. What enters top[0] is, in this order: the last hidden layer of the bottom
// MLP, the dots of the dense vector with the item's vectors, and where there is a table
// of users the dots of the user's vector with them and with the dense vector.
struct RankerModel {
  int64_t num_dense;
  const float* is_log;         // [num_dense], 1 or 0
  const float* mean;           // [num_dense]
  const float* inverse_scale;  // [num_dense]
  float clip;
  std::vector<RankerLayer> bottom;  // at least one
  RankerLayer projection;           // to the dense vector
  int64_t num_item_vectors;
  std::vector<RankerLayer> top;  // at least one; its first has no bias of its own: that
                                 // is in the items
  int64_t num_objectives;
  const float* output_weights;  // [num_objectives, padded outputs of the last of top]
  const float* output_bias;     // [num_objectives]

  // One table row a request, or none.
  int64_t num_user_rows;
  const float* users;  // [num_user_rows, dim]

  int64_t num_items;
  // A record an item, kGroup vectors after the other: [groups][ceil(dim /
  // 2)][kGroup][2] bfloat16, then bfloat16 [padded outputs of top[0]].
  const uint8_t* items;
  int64_t record_bytes;

  int64_t dim() const { return projection.num_outputs; }
  int64_t num_groups() const { return (num_item_vectors + kGroup - 1) / kGroup; }
  int64_t vector_bytes() const { return num_groups() * ((dim() + 1) / 2) * kGroup * 4; }
  int64_t num_crossed() const {
    const int64_t of_user = num_user_rows > 0 ? num_item_vectors + 1 : 0;
    return bottom.back().num_outputs + num_item_vectors + of_user;
  }
};

// Candidates of one user.
struct RankerRequest {
  const float* dense;        // [num_candidates, num_dense], raw
  const int64_t* item_rows;  // [num_candidates]
  int64_t num_candidates;
  int64_t user_row;  // of the table of users; of no meaning without one
};

enum class RankerIsa { kBaseline, kAvx512Vnni };

// Returns the strongest this processor has: kAvx512Vnni needs AVX512-VNNI and -BF16.
RankerIsa BestRankerIsa();

// Writes logits [num_candidates, num_objectives]. Rows must be in range: nothing is
// checked. A candidate's logits do not depend on the other candidates. Thread-safe;
// uses one thread; allocates some 150 KB for the time of the call at widths of 512.
// Inputs that are not finite count as their column's mean. Sums are in float or, of
// codes, exact; activations are rounded to the next layer's inputs to nearest even.
void RankCandidates(const RankerModel& model, const RankerRequest& request,
                    float* logits, RankerIsa isa = BestRankerIsa());

}  // namespace stepwell::kernels

#endif  // CC_KERNELS_RANKER_RANKER_H_
