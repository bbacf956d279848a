#ifndef CC_KERNELS_SIMD_ISA_H_
#define CC_KERNELS_SIMD_ISA_H_

#include <vector>

namespace stepwell::kernels {

// Instruction sets that kernels are compiled for, weakest first. kBaseline is the
// 128-bit path that every supported processor has.
enum class Isa { kBaseline, kAvx2, kAvx512 };

// Returns the strongest set this processor and kernel support. Thread-safe; the
// answer is found once per process.
Isa BestIsa();

// Returns every set usable here, weakest first. Tests run each of them.
std::vector<Isa> UsableIsas();

// Returns whether this processor also multiplies pairs of bfloat16 (AVX512-BF16). Not a
// set of its own: it helps bfloat16 kernels only. Implies that kAvx512 is usable.
bool HasBfloat16Dots();

}  // namespace stepwell::kernels

#endif  // CC_KERNELS_SIMD_ISA_H_
