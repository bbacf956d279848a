#ifndef CC_KERNELS_CUDA_EMULATOR_TENSOR_CORE_H_
#define CC_KERNELS_CUDA_EMULATOR_TENSOR_CORE_H_

#include <cuda_bf16.h>

#include <cstdint>
#include <cstring>

#include "cc/kernels/cuda_emulator/emulator.h"

// cc/kernels/cuda/tensor_core.h on the emulator, by the layouts written there.
namespace stepwell::kernels::cuda {

inline float HalfOfWord(unsigned word, unsigned half) {
  return __bfloat162float({static_cast<uint16_t>(word >> (16 * half))});
}

inline void MultiplyAdd(float (&sum)[4], const unsigned (&a)[4], unsigned b0,
                        unsigned b1) {
  const unsigned mine[6] = {a[0], a[1], a[2], a[3], b0, b1};
  const unsigned char* slots = cuda_emulator::WarpExchange("mma", mine, sizeof(mine));
  unsigned all[32][6];
  std::memcpy(all, slots, sizeof(all));
  const unsigned lane = threadIdx.x % 32;
  for (unsigned c = 0; c < 4; ++c) {
    const unsigned row = lane / 4 + 8 * (c / 2);
    const unsigned column = lane % 4 * 2 + c % 2;
    float dot = 0.0f;
    for (unsigned k = 0; k < 16; ++k) {
      const unsigned pair = k % 8 / 2;
      const unsigned a_word = all[row % 8 * 4 + pair][row / 8 + k / 8 * 2];
      const unsigned b_word = all[column * 4 + pair][4 + k / 8];
      dot += HalfOfWord(a_word, k % 2) * HalfOfWord(b_word, k % 2);
    }
    sum[c] += dot;
  }
}

// Element `column` of row `row` of matrix `matrix`, all by the lanes' row pointers.
inline uint16_t MatrixElement(const unsigned char* slots, unsigned matrix, unsigned row,
                              unsigned column) {
  const uint16_t* pointer = nullptr;
  std::memcpy(&pointer, slots + (matrix * 8 + row) * sizeof(pointer), sizeof(pointer));
  return pointer[column];
}

inline void LoadMatrices(const char* operation, unsigned (&to)[4], const void* row,
                         bool transposed) {
  if (reinterpret_cast<uintptr_t>(row) % 16 != 0) cuda_emulator::Trap();
  const unsigned char* slots =
      cuda_emulator::WarpExchange(operation, &row, sizeof(row));
  const unsigned g = threadIdx.x % 32 / 4;
  const unsigned t = threadIdx.x % 4;
  for (unsigned matrix = 0; matrix < 4; ++matrix) {
    const unsigned low = transposed ? MatrixElement(slots, matrix, 2 * t, g)
                                    : MatrixElement(slots, matrix, g, 2 * t);
    const unsigned high = transposed ? MatrixElement(slots, matrix, 2 * t + 1, g)
                                     : MatrixElement(slots, matrix, g, 2 * t + 1);
    to[matrix] = low | high << 16;
  }
}

inline void LoadMatrices(unsigned (&to)[4], const void* row) {
  LoadMatrices("ldmatrix", to, row, false);
}

inline void LoadMatricesTransposed(unsigned (&to)[4], const void* row) {
  LoadMatrices("ldmatrix.trans", to, row, true);
}

inline void CopyAsync16(void* to, const void* from) {
  const uintptr_t both =
      reinterpret_cast<uintptr_t>(to) | reinterpret_cast<uintptr_t>(from);
  if (both % 16 != 0) cuda_emulator::Trap();
  cuda_emulator::CopyAsync(to, from, 16);
}
inline void CommitCopies() { cuda_emulator::CommitCopies(); }
inline void WaitForCopies() { cuda_emulator::WaitForCopies(0); }

}  // namespace stepwell::kernels::cuda

#endif  // CC_KERNELS_CUDA_EMULATOR_TENSOR_CORE_H_
