// What this machine can do at best, for the benchmark `ops` to print figures as a share
// of it: the same gathers without checks, formats or pooling modes, and multiply-adds
// from registers. Loaded by gather_ceiling.py; one thread.
#include <immintrin.h>

#include <cstdint>

#include "cc/kernels/simd/isa.h"
#include "cc/kernels/simd/vec.h"

namespace stepwell::kernels {
namespace {

// Bags of equal length over tables in one storage, as PackedTables holds them.
struct Gather {
  const uint8_t* storage;
  const int64_t* table_starts;  // [num_tables], byte offsets
  int64_t num_tables;
  int64_t num_bags;  // of each table
  int64_t bag_length;
  const int64_t* ids;  // [num_tables, num_bags * bag_length], all in range
  uint8_t* out;        // [num_bags, num_tables, out_bytes]
  int64_t out_bytes;   // of one bag, a multiple of 64

  int64_t entries() const { return num_bags * bag_length; }
};

// Twelve chains hide the latency of a multiply-add on two units and fit 16 registers.
constexpr int kChains = 12;

}  // namespace
}  // namespace stepwell::kernels

#define STEPWELL_KERNEL_BODY "tools/bench/gather_ceiling_body.h"
#include "cc/kernels/simd/per_isa.h"

namespace stepwell::kernels {
namespace {

__attribute__((target("avx512bf16,avx512f"))) double Bfloat16Dots(int64_t repeats) {
  __m512 sums[kChains];
#pragma GCC unroll 12
  for (__m512& sum : sums) sum = _mm512_setzero_ps();
  __m512i x = _mm512_set1_epi16(0x3f00);  // 0.5
  for (int64_t i = 0; i < repeats; ++i) {
    asm volatile("" : "+v"(x));  // as in MultiplyAdd
#pragma GCC unroll 12
    for (__m512& sum : sums) {
      sum = _mm512_dpbf16_ps(sum, (__m512bh)x, (__m512bh)x);
      asm volatile("" : "+v"(sum));
    }
  }
  return 4.0 * 16 * kChains * static_cast<double>(repeats);
}

}  // namespace

extern "C" {

// Adds up the rows of every bag line by line and writes out_bytes for it, prefetching
// `distance` entries ahead. Returns 0, or 1 for a row_bytes that there is no loop for.
int StepwellGatherCeiling(const uint8_t* storage, const int64_t* table_starts,
                          int64_t num_tables, int64_t num_bags, int64_t bag_length,
                          const int64_t* ids, uint8_t* out, int64_t out_bytes,
                          int64_t row_bytes, int64_t distance) {
  const Gather work{storage,    table_starts, num_tables, num_bags,
                    bag_length, ids,          out,        out_bytes};
  if (work.entries() == 0 || num_tables == 0) return 0;
  switch (BestIsa()) {
    case Isa::kAvx512:
      return !avx512::GatherAll(work, row_bytes, distance);
    case Isa::kAvx2:
      return !avx2::GatherAll(work, row_bytes, distance);
    default:
      return !baseline::GatherAll(work, row_bytes, distance);
  }
}

// Multiplies and adds floats from registers; returns the operations done.
double StepwellMultiplyAdd(int64_t repeats) {
  switch (BestIsa()) {
    case Isa::kAvx512:
      return avx512::MultiplyAdd(repeats);
    case Isa::kAvx2:
      return avx2::MultiplyAdd(repeats);
    default:
      return baseline::MultiplyAdd(repeats);
  }
}

// The same by the dot instruction of bfloat16; 0 where the processor has none.
double StepwellMultiplyAddBfloat16(int64_t repeats) {
  if (!HasBfloat16Dots()) return 0;
  return Bfloat16Dots(repeats);
}

}  // extern "C"

}  // namespace stepwell::kernels
