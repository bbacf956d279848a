#ifndef CC_OPS_RANKER_RANKER_ARGUMENTS_H_
#define CC_OPS_RANKER_RANKER_ARGUMENTS_H_

#include <torch/csrc/stable/tensor.h>

#include <cstdint>
#include <limits>
#include <vector>

#include "cc/kernels/ranker/ranker.h"
#include "cc/ops/checks.h"

// Reads a packed ranker from its two tensors. The numbers of the plan are in the order
// in which py/stepwell/ops/ranker_plan.py writes them.
namespace stepwell::ops {

constexpr int64_t kMaxRankerSize = int64_t{1} << 31;
constexpr int64_t kMaxRankerLayers = 64;

class RankerPlan {
 public:
  RankerPlan(const char* op, const Tensor& weights, const Tensor& plan)
      : op_(op), weights_(static_cast<const uint8_t*>(weights.data_ptr())) {
    CheckRank(op, "weights", weights, 1);
    CheckRank(op, "plan", plan, 1);
    STEPWELL_OP_CHECK(weights.scalar_type() == ScalarType::Byte, op,
                      ": weights must be uint8, got ",
                      DtypeName(weights.scalar_type()));
    STEPWELL_OP_CHECK(plan.scalar_type() == ScalarType::Long, op,
                      ": plan must be int64, got ", DtypeName(plan.scalar_type()));
    CheckContiguous(op, "weights", weights);
    CheckContiguous(op, "plan", plan);
    num_bytes_ = weights.size(0);
    numbers_ = static_cast<const int64_t*>(plan.data_ptr());
    num_numbers_ = plan.size(0);
  }

  kernels::RankerModel Read() {
    kernels::RankerModel model{};
    model.num_dense = Size("num_dense", 1);
    const int64_t dim = Size("dim", 1);
    model.num_item_vectors = Size("num_item_vectors", 0);
    model.num_user_rows = Size("num_user_rows", 0);
    model.num_objectives = Size("num_objectives", 1);
    const int64_t num_bottom = Layers("num_bottom");
    const int64_t num_top = Layers("num_top");
    model.record_bytes = Size("record_bytes", 64);
    model.is_log = Array<float>("is_log", model.num_dense);
    model.mean = Array<float>("mean", model.num_dense);
    model.inverse_scale = Array<float>("inverse_scale", model.num_dense);
    model.users = Array<float>("users", model.num_user_rows * dim);
    const int64_t output_weights = Size("output_weights", 0);
    model.output_bias = Array<float>("output_bias", model.num_objectives);
    int64_t width = model.num_dense;
    for (int64_t l = 0; l < num_bottom; ++l) model.bottom.push_back(Layer(width));
    int64_t hidden = width;
    model.projection = Layer(hidden);
    STEPWELL_OP_CHECK(!model.projection.is_int8 && model.dim() == dim, op_,
                      ": plan has a projection to ", model.dim(),
                      " outputs, must be bfloat16 and to ", dim);
    width = model.num_crossed();
    for (int64_t l = 0; l < num_top; ++l) model.top.push_back(Layer(width));
    model.output_weights =
        At<float>("output_weights", output_weights,
                  model.num_objectives * model.top.back().padded_outputs());
    STEPWELL_OP_CHECK(next_ == num_numbers_, op_, ": plan has ", num_numbers_,
                      " numbers, must have ", next_);
    const int64_t needed =
        model.vector_bytes() + 2 * model.top.front().padded_outputs();
    STEPWELL_OP_CHECK(model.record_bytes % 64 == 0 && model.record_bytes >= needed, op_,
                      ": plan has record_bytes ", model.record_bytes,
                      ", must be a multiple of 64 and at least ", needed);
    return model;
  }

 private:
  int64_t Next() {
    STEPWELL_OP_CHECK(next_ < num_numbers_, op_, ": plan has ", num_numbers_,
                      " numbers, more are needed");
    return numbers_[next_++];
  }

  int64_t Size(const char* name, int64_t least) {
    const int64_t size = Next();
    STEPWELL_OP_CHECK(size >= least && size < kMaxRankerSize, op_, ": plan has ", name,
                      " ", size, ", must be in [", least, ", ", kMaxRankerSize - 1,
                      "]");
    return size;
  }

  int64_t Layers(const char* name) {
    const int64_t count = Size(name, 1);
    STEPWELL_OP_CHECK(count <= kMaxRankerLayers, op_, ": plan has ", name, " ", count,
                      ", must be in [1, ", kMaxRankerLayers, "]");
    return count;
  }

  template <typename Element>
  const Element* Array(const char* name, int64_t count) {
    return At<Element>(name, Next(), count);
  }

  // `offset` bytes into the storage, room for `count` elements behind it.
  template <typename Element>
  const Element* At(const char* name, int64_t offset, int64_t count) {
    const int64_t room = (num_bytes_ - offset) / static_cast<int64_t>(sizeof(Element));
    STEPWELL_OP_CHECK(
        offset >= 0 && offset <= num_bytes_ && offset % 64 == 0 && count <= room, op_,
        ": plan has ", name, " at byte ", offset, " with ", count,
        " elements, beyond the ", num_bytes_, " bytes of weights");
    return reinterpret_cast<const Element*>(weights_ + offset);
  }

  // A layer of `width` inputs; leaves its outputs there.
  kernels::RankerLayer Layer(int64_t& width) {
    kernels::RankerLayer layer{};
    layer.is_int8 = Next() != 0;
    layer.relu = Next() != 0;
    layer.is_signed = Next() != 0;
    layer.num_inputs = Size("num_inputs", 1);
    layer.num_outputs = Size("num_outputs", 1);
    STEPWELL_OP_CHECK(layer.num_inputs == width, op_, ": plan has a layer of ",
                      layer.num_inputs, " inputs behind ", width, " outputs");
    width = layer.num_outputs;
    const int64_t padded = layer.padded_outputs();
    layer.weights = Array<uint8_t>("weights", layer.num_steps() * padded * 4);
    layer.bias = Array<float>("bias", padded);
    layer.scales = Array<float>("scales", layer.is_int8 ? padded : 0);
    layer.start = Array<int32_t>("start", layer.is_int8 ? padded : 0);
    return layer;
  }

  const char* op_;
  const uint8_t* weights_;
  int64_t num_bytes_ = 0;
  const int64_t* numbers_ = nullptr;
  int64_t num_numbers_ = 0;
  int64_t next_ = 0;
};

}  // namespace stepwell::ops

#endif  // CC_OPS_RANKER_RANKER_ARGUMENTS_H_
