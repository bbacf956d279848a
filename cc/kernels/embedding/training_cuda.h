#ifndef CC_KERNELS_EMBEDDING_TRAINING_CUDA_H_
#define CC_KERNELS_EMBEDDING_TRAINING_CUDA_H_

#include <cuda_runtime_api.h>

#include <cstdint>

#include "cc/kernels/embedding/embedding.h"

namespace stepwell::kernels::cuda {

// What embedding training needs on the current device besides the dense gradient. Calls
// only enqueue work on `stream` and return the launch's error; deterministic.

// Writes entry_grads[t] [entries of table t, dim], `entry_grads` being host memory: the
// gradient of an entry's bag times its weight, over the bag's length for a mean. Reads
// no rows and no indices; of `bags.tables` only the sizes. Checks offsets as
// embedding_cuda.h says.
template <typename Index>
cudaError_t EntryBackward(const EmbeddingBags<Index>& bags, const float* output_grad,
                          float* const* entry_grads, cudaStream_t stream);

// A table that row-wise Adagrad trains, as in row_wise_adagrad.h.
struct AdagradTable {
  float* rows;
  float* moments;
  const float* grads;  // [num_entries, dim]
  int64_t num_rows;
  int64_t dim;
  float lr;
  float eps;
};

// Updates the rows that `sorted_rows` [num_entries] names, ascending; entry k has the
// gradient number positions[k], and those of one row add up in this order. A row
// outside the table is printed and traps the kernel.
cudaError_t RowWiseAdagrad(const AdagradTable& table, const int64_t* sorted_rows,
                           const int64_t* positions, int64_t num_entries,
                           cudaStream_t stream);

}  // namespace stepwell::kernels::cuda

#endif  // CC_KERNELS_EMBEDDING_TRAINING_CUDA_H_
