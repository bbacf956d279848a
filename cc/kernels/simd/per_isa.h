// Includes a kernel's body three times, each in its namespace and with its instruction
// set. Define STEPWELL_KERNEL_BODY as the body's quoted path first; no include guard:
// a file includes this once for its one body. Where STEPWELL_KERNEL_USES_BFLOAT16_DOTS
// is defined too, a fourth time, for processors that HasBfloat16Dots().
namespace stepwell::kernels::baseline {
namespace {
#include STEPWELL_KERNEL_BODY
}  // namespace
}  // namespace stepwell::kernels::baseline

#pragma GCC push_options
#pragma GCC target("avx2,fma")
namespace stepwell::kernels::avx2 {
namespace {
#include STEPWELL_KERNEL_BODY
}  // namespace
}  // namespace stepwell::kernels::avx2
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")
namespace stepwell::kernels::avx512 {
namespace {
#include STEPWELL_KERNEL_BODY
}  // namespace
}  // namespace stepwell::kernels::avx512
#pragma GCC pop_options

#ifdef STEPWELL_KERNEL_USES_BFLOAT16_DOTS
#pragma GCC push_options
#pragma GCC target("avx512bf16,avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")
namespace stepwell::kernels::avx512_bfloat16 {
namespace {
#include STEPWELL_KERNEL_BODY
}  // namespace
}  // namespace stepwell::kernels::avx512_bfloat16
#pragma GCC pop_options
#undef STEPWELL_KERNEL_USES_BFLOAT16_DOTS
#endif
#undef STEPWELL_KERNEL_BODY
