#include "cc/kernels/simd/isa.h"

namespace stepwell::kernels {
namespace {

// The builtins also ask the operating system whether it saves the wide registers.
Isa DetectIsa() {
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw")) {
    return Isa::kAvx512;
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    return Isa::kAvx2;
  }
  return Isa::kBaseline;
}

}  // namespace

Isa BestIsa() {
  static const Isa isa = DetectIsa();
  return isa;
}

bool HasBfloat16Dots() {
  static const bool has_them =
      BestIsa() == Isa::kAvx512 && __builtin_cpu_supports("avx512bf16");
  return has_them;
}

std::vector<Isa> UsableIsas() {
  std::vector<Isa> usable;
  for (Isa isa : {Isa::kBaseline, Isa::kAvx2, Isa::kAvx512}) {
    if (isa <= BestIsa()) usable.push_back(isa);
  }
  return usable;
}

}  // namespace stepwell::kernels
