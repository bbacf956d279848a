#include "cc/kernels/ranker/ranker_plan.h"

#include <cstdint>
#include <sstream>
#include <string>
#include <utility>

namespace stepwell::kernels {
namespace {

constexpr int64_t kMaxSize = int64_t{1} << 31;
constexpr int64_t kMaxLayers = 64;
constexpr int64_t kAlignment = 64;

// What does not fit is kept, the first of all, and the reading goes on with numbers
// that do no harm.
class Reader {
 public:
  explicit Reader(const RankerStorage& storage) : storage_(storage) {}

  ReadRanker Read() {
    RankerModel model{};
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
    Check(!model.projection.is_int8 && model.dim() == dim, "a projection to ",
          model.dim(), " outputs, must be bfloat16 and to ", dim);
    width = model.num_crossed();
    for (int64_t l = 0; l < num_top; ++l) model.top.push_back(Layer(width));
    model.output_weights =
        At<float>("output_weights", output_weights,
                  model.num_objectives * model.top.back().padded_outputs());
    Check(next_ == storage_.num_numbers, storage_.num_numbers, " numbers, must have ",
          next_);
    const int64_t needed =
        model.vector_bytes() + 2 * model.top.front().padded_outputs();
    Check(model.record_bytes % kAlignment == 0 && model.record_bytes >= needed,
          "record_bytes ", model.record_bytes,
          ", must be a multiple of 64 and at least ", needed);
    return {std::move(model), std::move(error_)};
  }

 private:
  template <typename... Parts>
  void Check(bool fits, const Parts&... parts) {
    if (fits || !error_.empty()) return;
    std::ostringstream text;
    text << "plan has ";
    (text << ... << parts);
    error_ = text.str();
  }

  int64_t Next() {
    Check(next_ < storage_.num_numbers, storage_.num_numbers,
          " numbers, more are needed");
    return error_.empty() ? storage_.plan[next_++] : 0;
  }

  int64_t Size(const char* name, int64_t least, int64_t most = kMaxSize - 1) {
    const int64_t size = Next();
    Check(size >= least && size <= most, name, " ", size, ", must be in [", least, ", ",
          most, "]");
    return error_.empty() ? size : least;
  }

  int64_t Layers(const char* name) { return Size(name, 1, kMaxLayers); }

  template <typename Element>
  const Element* Array(const char* name, int64_t count) {
    return At<Element>(name, Next(), count);
  }

  // `offset` bytes into the storage, room for `count` elements behind it.
  template <typename Element>
  const Element* At(const char* name, int64_t offset, int64_t count) {
    const int64_t bytes = storage_.num_bytes;
    const int64_t room = (bytes - offset) / static_cast<int64_t>(sizeof(Element));
    Check(offset >= 0 && offset <= bytes && offset % kAlignment == 0 && count <= room,
          name, " at byte ", offset, " with ", count, " elements, beyond the ", bytes,
          " bytes of weights");
    if (!error_.empty()) return nullptr;
    return reinterpret_cast<const Element*>(storage_.weights + offset);
  }

  // A layer of `width` inputs; leaves its outputs there.
  RankerLayer Layer(int64_t& width) {
    RankerLayer layer{};
    layer.is_int8 = Next() != 0;
    layer.relu = Next() != 0;
    layer.is_signed = Next() != 0;
    layer.num_inputs = Size("num_inputs", 1);
    layer.num_outputs = Size("num_outputs", 1);
    Check(layer.num_inputs == width, "a layer of ", layer.num_inputs, " inputs behind ",
          width, " outputs");
    width = layer.num_outputs;
    const int64_t padded = layer.padded_outputs();
    layer.weights = Array<uint8_t>("weights", layer.num_steps() * padded * 4);
    layer.bias = Array<float>("bias", padded);
    layer.scales = Array<float>("scales", layer.is_int8 ? padded : 0);
    layer.start = Array<int32_t>("start", layer.is_int8 ? padded : 0);
    return layer;
  }

  const RankerStorage& storage_;
  int64_t next_ = 0;
  std::string error_;
};

}  // namespace

ReadRanker ReadRankerPlan(const RankerStorage& storage) {
  return Reader(storage).Read();
}

}  // namespace stepwell::kernels
