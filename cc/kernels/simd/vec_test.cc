#include "cc/kernels/simd/vec.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "cc/kernels/simd/isa.h"

namespace stepwell::kernels {

// The same exercise in each instruction set, free of lambdas and std calls: those
// would be compiled without the wide registers.
#define STEPWELL_EXERCISE                                               \
  void Exercise(const float* in, int64_t n, float* out) {               \
    Vec::LoadFirst(in, n).StoreFirst(out, n);                           \
  }                                                                     \
  float SumOf(const float* in) { return Vec::Load(in).Sum(); }          \
  float MulAddOf(float a, float b, float c) {                           \
    float lanes[16];                                                    \
    Vec::MulAdd(Vec::Fill(a), Vec::Fill(b), Vec::Fill(c)).Store(lanes); \
    return lanes[Vec::kLanes - 1];                                      \
  }

namespace baseline {
namespace {
STEPWELL_EXERCISE
}  // namespace
}  // namespace baseline
#pragma GCC push_options
#pragma GCC target("avx2,fma")
namespace avx2 {
namespace {
STEPWELL_EXERCISE
}  // namespace
}  // namespace avx2
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")
namespace avx512 {
namespace {
STEPWELL_EXERCISE
}  // namespace
}  // namespace avx512
#pragma GCC pop_options

namespace {

using ExerciseFn = void (*)(const float*, int64_t, float*);

void ExpectTouchesOnlyTheFirstLanes(ExerciseFn exercise, int64_t lanes) {
  std::vector<float> in(16);
  for (int i = 0; i < 16; ++i) in[i] = static_cast<float>(i + 1);
  for (int64_t n = 1; n < lanes; ++n) {
    std::vector<float> out(16, -1.0f);
    exercise(in.data(), n, out.data());
    for (int64_t lane = 0; lane < 16; ++lane) {
      EXPECT_EQ(out[lane], lane < n ? in[lane] : -1.0f) << "n " << n;
    }
  }
}

TEST(VecTest, StoresOnlyTheFirstLanes) {
  ExpectTouchesOnlyTheFirstLanes(baseline::Exercise, baseline::Vec::kLanes);
  if (BestIsa() >= Isa::kAvx2) {
    ExpectTouchesOnlyTheFirstLanes(avx2::Exercise, avx2::Vec::kLanes);
  }
  if (BestIsa() >= Isa::kAvx512) {
    ExpectTouchesOnlyTheFirstLanes(avx512::Exercise, avx512::Vec::kLanes);
  }
}

TEST(VecTest, SumsEveryLaneOnce) {
  std::vector<float> in(16);
  for (int i = 0; i < 16; ++i) in[i] = static_cast<float>(1 << i);
  EXPECT_EQ(baseline::SumOf(in.data()), 15.0f);
  if (BestIsa() >= Isa::kAvx2) {
    EXPECT_EQ(avx2::SumOf(in.data()), 255.0f);
  }
  if (BestIsa() >= Isa::kAvx512) {
    EXPECT_EQ(avx512::SumOf(in.data()), 65535.0f);
  }
}

TEST(VecTest, MultipliesThenAdds) {
  EXPECT_EQ(baseline::MulAddOf(2.0f, 3.0f, 4.0f), 10.0f);
  if (BestIsa() >= Isa::kAvx2) {
    EXPECT_EQ(avx2::MulAddOf(2.0f, 3.0f, 4.0f), 10.0f);
  }
  if (BestIsa() >= Isa::kAvx512) {
    EXPECT_EQ(avx512::MulAddOf(2.0f, 3.0f, 4.0f), 10.0f);
  }
}

TEST(IsaTest, UsableSetsEndWithTheBest) {
  EXPECT_EQ(UsableIsas().front(), Isa::kBaseline);
  EXPECT_EQ(UsableIsas().back(), BestIsa());
}

}  // namespace
}  // namespace stepwell::kernels
