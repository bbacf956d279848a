#ifndef CC_KERNELS_EMBEDDING_QUANTIZE_CUDA_H_
#define CC_KERNELS_EMBEDDING_QUANTIZE_CUDA_H_

#include <cuda_runtime_api.h>

#include <cstdint>

#include "cc/kernels/embedding/row_format.h"

namespace stepwell::kernels::cuda {

// The conversions of quantize.h on the current device, bit for bit. They only enqueue
// work on `stream` and return the launch's error. A number that the format cannot hold
// is printed with its row and column and traps the kernel.

// rows [num_rows, dim] to packed [num_rows, RowBytes(format, dim)].
cudaError_t QuantizeRows(const float* rows, int64_t num_rows, int64_t dim,
                         RowFormat format, unsigned char* packed, cudaStream_t stream);

// And back. `packed` is aligned to RowAlignment(format).
cudaError_t DequantizeRows(const unsigned char* packed, int64_t num_rows, int64_t dim,
                           RowFormat format, float* rows, cudaStream_t stream);

}  // namespace stepwell::kernels::cuda

#endif  // CC_KERNELS_EMBEDDING_QUANTIZE_CUDA_H_
