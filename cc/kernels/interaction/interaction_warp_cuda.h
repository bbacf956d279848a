#ifndef CC_KERNELS_INTERACTION_INTERACTION_WARP_CUDA_H_
#define CC_KERNELS_INTERACTION_INTERACTION_WARP_CUDA_H_

#include <cstdint>

#include "cc/kernels/cuda/elements.h"
#include "cc/kernels/cuda/launch.h"
#include "cc/kernels/cuda/tensor_core.h"
#include "cc/kernels/interaction/interaction_cuda.h"

// How one warp holds a sample in shared memory and moves it, for
// interaction_tensor_core_cuda.cu.
namespace stepwell::kernels::cuda {
namespace {

using Bf16 = __nv_bfloat16;

constexpr int kWarpsPerBlock = 4;
constexpr int kBlockThreads = kWarp * kWarpsPerBlock;
constexpr int kTile = 16;
constexpr int kMaxTiles = 4;
// Elements in a 16-byte piece.
constexpr int kPiece = 8;
// What one block may have on sm_90.
constexpr int64_t kMaxSharedBytes = int64_t{227} * 1024;

// A piece more than the vector: rows then start in different banks for ldmatrix.
__host__ __device__ __forceinline__ int RowStride(int dim) { return dim + kPiece; }

// Where a warp's arrays lie in its shared memory, in elements.
struct Layout {
  int vectors;  // [tiles * 16, RowStride(dim)]
  int packed;   // one row of the output, or of its gradient, and a piece to align it
  int pairs;    // backward: [tiles * 16, RowStride(tiles * 16)], symmetric
  int total;
};

__host__ __device__ __forceinline__ int RoundUp(int count) {
  return (count + kPiece - 1) / kPiece * kPiece;
}

__host__ __device__ __forceinline__ Layout LayoutOf(int tiles, int dim, int output_dim,
                                                    bool backward) {
  const int rows = tiles * kTile;
  const int packed = rows * RowStride(dim);
  const int pairs = packed + RoundUp(output_dim + kPiece);
  const int total = pairs + (backward ? rows * RowStride(rows) : 0);
  return {0, packed, pairs, total};
}

// One warp's sample.
struct WarpSample {
  bool active;
  int lane;
  int64_t number;
  int num_vectors;
  int dim;
  int output_dim;
  Bf16* shared;
};

__device__ __forceinline__ WarpSample SampleOfWarp(const Samples& samples,
                                                   unsigned char* shared,
                                                   int elements_per_warp) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int64_t number = static_cast<int64_t>(blockIdx.x) * kWarpsPerBlock + warp;
  const int num_vectors = static_cast<int>(samples.num_head + samples.num_tail);
  const int dim = static_cast<int>(samples.dim);
  return {number < samples.num_samples,
          static_cast<int>(threadIdx.x) % kWarp,
          number,
          num_vectors,
          dim,
          dim + num_vectors * (num_vectors - 1) / 2,
          reinterpret_cast<Bf16*>(shared) + warp * elements_per_warp};
}

// Copies `num_pieces` pieces of rows of `dim` elements that lie one after the other.
__device__ __forceinline__ void CopyRows(const WarpSample& sample, const Bf16* from,
                                         int num_rows, int first_row) {
  const int pieces_a_row = sample.dim / kPiece;
  const int stride = RowStride(sample.dim);
  for (int at = sample.lane; at < num_rows * pieces_a_row; at += kWarp) {
    const int row = at / pieces_a_row;
    const int piece = at - row * pieces_a_row;
    CopyAsync16(sample.shared + (first_row + row) * stride + piece * kPiece,
                from + static_cast<int64_t>(at) * kPiece);
  }
}

// Starts the copy of the sample's vectors and fills the rows of the last tile up with
// zeros, which a product with NaN in place of them would not forgive.
template <int kTiles>
__device__ __forceinline__ void StartVectors(const Samples& samples,
                                             const WarpSample& sample) {
  const Bf16* head =
      static_cast<const Bf16*>(samples.head) + sample.number * samples.head_stride;
  const Bf16* tail = static_cast<const Bf16*>(samples.tail) +
                     sample.number * samples.num_tail * samples.dim;
  const int num_head = static_cast<int>(samples.num_head);
  CopyRows(sample, head, num_head, 0);
  CopyRows(sample, tail, sample.num_vectors - num_head, num_head);
  CommitCopies();
  const int pieces = RowStride(sample.dim) / kPiece;
  const int unused = (kTiles * kTile - sample.num_vectors) * pieces;
  uint4* zeros = reinterpret_cast<uint4*>(sample.shared) + sample.num_vectors * pieces;
  for (int at = sample.lane; at < unused; at += kWarp)
    zeros[at] = make_uint4(0, 0, 0, 0);
}

// The pieces of 16 rows and 16 columns that this lane points to for LoadMatrices: rows
// 0-7 and 8-15, then the same of the columns' second half.
__device__ __forceinline__ const Bf16* LaneRow(const Bf16* matrix, int stride,
                                               int first_row, int first_column,
                                               int lane) {
  return matrix + (first_row + lane % kTile) * stride + first_column +
         lane / kTile * kPiece;
}

// A packed row in shared memory starts at this element of its array, so that a piece
// there is a piece of global memory too.
__device__ __forceinline__ int Phase(const Bf16* global) {
  return static_cast<int>(reinterpret_cast<uintptr_t>(global) % 16 / sizeof(Bf16));
}

// Whole pieces of a packed row, and the elements before and after them.
struct Span {
  int first_piece;
  int last_piece;
  int end;
};

__device__ __forceinline__ Span SpanOf(int phase, int count) {
  const int end = phase + count;
  const int first = (phase + kPiece - 1) / kPiece;
  const int last = end / kPiece;
  return {first, last > first ? last : first, end};
}

__device__ __forceinline__ void StorePacked(const WarpSample& sample,
                                            const Bf16* packed, int phase,
                                            Bf16* global) {
  const Span span = SpanOf(phase, sample.output_dim);
  Bf16* base = global - phase;
  for (int piece = span.first_piece + sample.lane; piece < span.last_piece;
       piece += kWarp) {
    StoreOnce(base + piece * kPiece,
              *reinterpret_cast<const Pack<Bf16, kPiece>*>(packed + piece * kPiece));
  }
  const int head_end = min(span.first_piece * kPiece, span.end);
  for (int k = phase + sample.lane; k < head_end; k += kWarp) base[k] = packed[k];
  const int tail = max(span.last_piece * kPiece, head_end);
  for (int k = tail + sample.lane; k < span.end; k += kWarp) base[k] = packed[k];
}

__device__ __forceinline__ void LoadPacked(const WarpSample& sample, const Bf16* global,
                                           int phase, Bf16* packed) {
  const Span span = SpanOf(phase, sample.output_dim);
  const Bf16* base = global - phase;
  for (int piece = span.first_piece + sample.lane; piece < span.last_piece;
       piece += kWarp) {
    *reinterpret_cast<Pack<Bf16, kPiece>*>(packed + piece * kPiece) =
        LoadOnce<Bf16, kPiece>(base + piece * kPiece);
  }
  const int head_end = min(span.first_piece * kPiece, span.end);
  for (int k = phase + sample.lane; k < head_end; k += kWarp) packed[k] = base[k];
  const int tail = max(span.last_piece * kPiece, head_end);
  for (int k = tail + sample.lane; k < span.end; k += kWarp) packed[k] = base[k];
}

__device__ __forceinline__ int PairAt(int i, int j) { return i * (i - 1) / 2 + j; }

// Writes rows of the vectors' place in shared memory to rows that lie one after the
// other.
__device__ __forceinline__ void StoreRows(const WarpSample& sample, int first_row,
                                          int num_rows, Bf16* to) {
  const int pieces_a_row = sample.dim / kPiece;
  const int stride = RowStride(sample.dim);
  for (int at = sample.lane; at < num_rows * pieces_a_row; at += kWarp) {
    const int row = at / pieces_a_row;
    const int piece = at - row * pieces_a_row;
    const Bf16* from = sample.shared + (first_row + row) * stride + piece * kPiece;
    StoreOnce(to + static_cast<int64_t>(at) * kPiece,
              *reinterpret_cast<const Pack<Bf16, kPiece>*>(from));
  }
}

}  // namespace
}  // namespace stepwell::kernels::cuda

#endif  // CC_KERNELS_INTERACTION_INTERACTION_WARP_CUDA_H_
