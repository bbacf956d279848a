#ifndef CC_OPS_INTERACTION_INTERACTION_TASKS_H_
#define CC_OPS_INTERACTION_INTERACTION_TASKS_H_

#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <cstdint>

#include "cc/kernels/interaction/interaction.h"
#include "cc/ops/checks.h"

// How the CPU interaction ops share their samples among torch's threads.
namespace stepwell::ops {

// Calls work(first, last) for parts of the samples [0, num_samples), at once where
// their `products` multiply-adds each are worth handing to another thread: about 20 us.
template <typename Work>
void ForSamples(int64_t num_samples, int64_t products, const Work& work) {
  constexpr int64_t kProductsPerTask = 1 << 20;
  const int64_t samples_per_task =
      products < kProductsPerTask ? kProductsPerTask / (products + 1) : 1;
  torch::stable::parallel_for(0, num_samples, samples_per_task, work);
}

// Calls `kernel` with a null pointer to the element type of the tensor, which
// CheckInteractionTensor has found to be one of the two.
template <typename Kernel>
void ForElementOf(const Tensor& tensor, const Kernel& kernel) {
  if (tensor.scalar_type() == ScalarType::BFloat16) {
    kernel(static_cast<kernels::Bfloat16*>(nullptr));
  } else {
    kernel(static_cast<float*>(nullptr));
  }
}

}  // namespace stepwell::ops

#endif  // CC_OPS_INTERACTION_INTERACTION_TASKS_H_
