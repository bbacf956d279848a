#ifndef CC_KERNELS_EMBEDDING_ROW_READER_CUDA_H_
#define CC_KERNELS_EMBEDDING_ROW_READER_CUDA_H_

#include <cstdint>

#include "cc/kernels/cuda/elements.h"

// How one lane reads its columns of a row of each format. A reader loads a Raw piece of
// kColumns columns without touching it, so that several loads are under way before the
// first is used; Values turns it into floats. A Raw of zeros is a row of zeros.
namespace stepwell::kernels::cuda {
namespace {

// Rows of T without padding. Columns are whole: kColumns divides the row's.
template <typename T, int kColumnsALane>
struct FloatReader {
  static constexpr int kColumns = kColumnsALane;
  using Raw = Pack<T, kColumns>;

  static __device__ __forceinline__ Raw Load(const unsigned char* row, int64_t column) {
    return LoadOnce<T, kColumns>(row + column * static_cast<int64_t>(sizeof(T)));
  }
  static __device__ __forceinline__ void Values(const Raw& raw,
                                                float (&values)[kColumns]) {
    STEPWELL_UNROLL
    for (int k = 0; k < kColumns; ++k) values[k] = ToFloat(raw.at[k]);
  }
};

// Rows of float32 scale and bias, then codes of kBits. Rows are padded to 8 bytes; the
// last lane may read padding, which is there for whole pieces of 8 codes.
template <int kBits>
struct CodeReader {
  static constexpr int kColumns = 8;
  static constexpr int kWords = kBits / 4;
  struct Raw {
    Pack<float, 2> scale_and_bias;
    Pack<unsigned, kWords> codes;
  };

  static __device__ __forceinline__ Raw Load(const unsigned char* row, int64_t column) {
    // Every lane of the group reads the same scale and bias: one access.
    return {LoadOnce<float, 2>(row),
            LoadOnce<unsigned, kWords>(row + 8 + column * kBits / 8)};
  }
  static __device__ __forceinline__ void Values(const Raw& raw,
                                                float (&values)[kColumns]) {
    constexpr unsigned kMask = (1u << kBits) - 1;
    constexpr int kCodesAWord = 32 / kBits;
    STEPWELL_UNROLL
    for (int k = 0; k < kColumns; ++k) {
      const unsigned word = raw.codes.at[k / kCodesAWord];
      const unsigned code = (word >> (k % kCodesAWord * kBits)) & kMask;
      values[k] = raw.scale_and_bias.at[0] * static_cast<float>(code) +
                  raw.scale_and_bias.at[1];
    }
  }
};

}  // namespace
}  // namespace stepwell::kernels::cuda

#endif  // CC_KERNELS_EMBEDDING_ROW_READER_CUDA_H_
