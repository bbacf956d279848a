#ifndef CC_KERNELS_INTERACTION_INTERACTION_SHARED_H_
#define CC_KERNELS_INTERACTION_INTERACTION_SHARED_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>

#include "cc/kernels/interaction/interaction.h"

// Pieces of the CPU kernels that need no wide registers.
namespace stepwell::kernels {

// The largest register, in floats.
constexpr int64_t kMaxLanes = 16;

constexpr int64_t RoundUp(int64_t count, int64_t multiple) {
  return (count + multiple - 1) / multiple * multiple;
}

// Scratch floats, zeros at first, that start a cache line: registers loaded from
// multiples of their size then never cross two lines.
class AlignedFloats {
 public:
  explicit AlignedFloats(int64_t count)
      : floats_(new (kLine) float[static_cast<size_t>(count)]()) {}

  float* data() { return floats_.get(); }

 private:
  static constexpr std::align_val_t kLine{64};
  struct Delete {
    void operator()(float* floats) const { operator delete[](floats, kLine); }
  };
  std::unique_ptr<float[], Delete> floats_;
};

// Where the vectors of samples lie: in each sample, num_head vectors of `head` and then
// num_tail vectors of `tail`. head_stride is 0 when all samples share their head.
template <typename Element>
struct SampleVectors {
  const Element* head;
  const Element* tail;
  int64_t num_head;
  int64_t num_tail;
  int64_t dim;
  int64_t head_stride;

  int64_t num_vectors() const { return num_head + num_tail; }
  const Element* at(int64_t vector) const {
    return vector < num_head ? head + vector * dim : tail + (vector - num_head) * dim;
  }
  void Advance() {
    head += head_stride;
    tail += num_tail * dim;
  }
};

// Lanes of a register that stay with one vector; kMaxLanes is their multiple.
constexpr int64_t kQuad = 4;

// Vectors in the columns of one step: whole registers.
template <typename Element>
int64_t ColumnStride(const SampleVectors<Element>& sample) {
  return RoundUp(sample.num_vectors(), kMaxLanes);
}

// Floats of the columns when a lane takes one component, the most it can be.
template <typename Element>
int64_t ColumnFloats(const SampleVectors<Element>& sample) {
  return ColumnStride(sample) * RoundUp(sample.dim, kMaxLanes);
}

template <typename Element>
void CopyElements(const Element* from, int64_t count, Element* to) {
  if (count > 0) std::memcpy(to, from, static_cast<size_t>(count) * sizeof(Element));
}

template <typename Element>
SampleVectors<Element> DotSamples(const InteractionShape& shape, const Element* dense,
                                  const Element* sparse) {
  return {dense, sparse, 1, shape.num_sparse, shape.dim, shape.dim};
}

template <typename Element>
SampleVectors<Element> RequestSamples(const RequestShape& shape, const Element* user,
                                      const Element* items) {
  return {user, items, shape.num_user, shape.num_items, shape.dim, 0};
}

// The gradients of one sample's dots as a full symmetric matrix with a zero diagonal.
struct PairGradients {
  float* matrix;   // [stride, stride]
  int64_t size;    // of which [size, size] are vectors
  int64_t stride;  // whole registers
};

}  // namespace stepwell::kernels

#endif  // CC_KERNELS_INTERACTION_INTERACTION_SHARED_H_
